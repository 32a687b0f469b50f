#!/bin/sh
# Every header in protocol/ that declares decoders - functions that take a reader - has each of them called by a fuzz target.
set -u
src=${srcdir:-$(dirname "$0")/..}
[ -d "$src/protocol" ] || src=$(dirname "$0")/..
bad=0 seen=0
for header in "$src"/protocol/*.h; do
	calls=$(sed -n 's/.*[ *]\([a-z0-9_]*\)(.*struct rd \*.*/\1/p' "$header" | sort -u)
	for call in $calls; do
		case $call in fill | ''| *_slow | read_acl | read_xattr | on_entry | rd_more | rd_slice | rd_pos | rd_avail | rd_fail) continue ;;
		# Parts of what flist_read, ids_read_lists and rd_int do.
		flist_id_named | flist_read_id_name | flist_check_parents | rd_le32) continue ;; esac
		seen=$((seen + 1))
		grep -qw "$call" "$src"/testsuite/fuzz/fuzz_*.c || { echo "decoders: no fuzz target calls $call (${header##*/protocol/})" >&2; bad=1; }
	done
done
# Every target has seeds, and no seeds are without a target.
for target in "$src"/testsuite/fuzz/fuzz_*.c; do
	name=${target##*/fuzz_} name=${name%.c}
	[ -n "$(ls "$src/testsuite/fuzz/corpus/$name" 2>/dev/null)" ] || { echo "decoders: no seeds for fuzz_$name" >&2; bad=1; }
done
[ "$seen" -ge 15 ] || { echo "decoders: only $seen found" >&2; bad=1; }
exit $bad
