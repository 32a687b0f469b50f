#!/bin/sh
# configure names the Debian package of each library that is missing; make install puts everything in its place.
set -u
src=${srcdir:-$(dirname "$0")/..}
src=$(cd "$src" && pwd) || exit 1
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
bad=0
complain() { echo "configure: $*" >&2; bad=1; }

# A pkg-config that does not know the modules in $ABSENT, and finds every other without asking for its version.
cat >"$tmp/pkg-config" <<'END'
#!/bin/sh
for arg; do
	case $arg in -*) continue ;; esac
	for gone in $ABSENT; do
		case $arg in "$gone" | "$gone "*) exit 1 ;; esac
	done
done
exit 0
END
chmod +x "$tmp/pkg-config"

needs() { sed -n 's/^KEDGE_NEED(\[[A-Z0-9]*\], \[\([a-z0-9-]*\)[^]]*\], \[\([a-z0-9-]*\)\])$/\1 \2/p' "$src/configure.ac"; }
[ "$(needs | wc -l)" -eq "$(grep -c '^KEDGE_NEED(' "$src/configure.ac")" ] || complain "a KEDGE_NEED line was not understood"
for package in $(needs | cut -d' ' -f2); do
	grep -q "^\(packages=(\)\?.*[ 	(]$package\( \|)\|$\)" "$src/dev" || complain "./dev does not install $package"
	grep -q "$package" "$src/packaging/debian/control" || complain "the Debian package does not build with $package"
done

# What the compiler answered when this directory was configured is taken from there, to save the time.
sed -n '/^## Cache variables/,/^## Output variables/s/^\(ac\|am\)_cv_/&/p' config.log |
	grep -v -e '^ac_cv_env_' -e 'PKG_CONFIG' >"$tmp/cache"
if [ -e "$src/config.status" ]; then
	echo "configure: the source directory is configured itself, so missing libraries are not tried"
else
	said=$(cd "$tmp" && ABSENT="libxxhash libseccomp" PKG_CONFIG="$tmp/pkg-config" CONFIG_SHELL=/bin/sh /bin/sh "$src/configure" -q --cache-file="$tmp/cache" 2>&1) &&
		complain "configured without two of its libraries"
	echo "$said" | grep -q 'on Debian install: libxxhash-dev libseccomp-dev$' || complain "does not name these two packages alone: $said"
fi
[ ! -e "$tmp/Makefile" ] || complain "went on all the same"

# Into a directory of its own, from the build that is tested.
make -s install DESTDIR="$tmp/root" prefix=/usr mandir=/usr/share/man >"$tmp/install.out" 2>&1 || { cat "$tmp/install.out" >&2; complain "make install failed"; }
[ -x "$tmp/root/usr/bin/kedge" ] || complain "kedge was not installed"
for page in kedge.1 kedge-rsyncd.conf.5 kedge-security.7; do
	[ -s "$tmp/root/usr/share/man/man${page##*.}/$page" ] || complain "$page was not installed"
done
others=$(cd "$tmp/root" 2>/dev/null && find . ! -type d | grep -v -e '/bin/kedge$' -e '/man[157]/kedge[a-z.-]*\.[157]$')
[ -z "$others" ] || complain "installed as well: $others"
case $("$tmp/root/usr/bin/kedge" --version 2>&1 | head -1) in *kedge*) ;; *) complain "what was installed does not tell its version" ;; esac
exit $bad
