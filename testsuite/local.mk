# unit tests, fuzz targets and scripts that belong to no single room

# Nothing outside sandbox/ takes a path or a privilege.
SCRIPT_TESTS += testsuite/door.sh
EXTRA_DIST += testsuite/door.sh
