# unit tests, fuzz targets and scripts that belong to no single room
