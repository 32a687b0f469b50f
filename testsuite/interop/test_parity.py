"""The same client command against the stock server and against kedge: equal tree, output, exit code, numbers.

A line is `options [| sources [| destination [| layout]]]`, see parity.Case. By default a line runs
once in each of its directions, protocol, transport and client version rotating. KEDGE_PARITY=full runs the
whole product of protocols, transports and client versions.
"""
import dataclasses
import os
import re
import shutil
import subprocess

import pytest
from harness import CLIENTS, IS_ROOT
from parity import LAYOUTS, NEW, NOBODY, OLD, Case, Pair, Way, put, settle

FULL = os.environ.get("KEDGE_PARITY") == "full"

BOTH = """
-a
-a | src/ | dst/ | empty
-a | src/ | dst/ | same
-aH | src/ | dst/ | same
-aii | src/ | dst/ | same
-r
-rl
-rt
-rlptgo
-rD
-rl --devices
-aD --no-specials
-a --no-D
-a --no-t
-a --no-p
-a --no-o --no-g
-a -n
-an | src/ | dst/ | empty
-an --delete
-aHn --delete-after
-anz --stats
-an | src/plain src/exe | nodir/sub/ | empty
-a -c
-a -c --size-only
-ac --cc=md5
-ac --cc=md4
-ac --cc=none
-ac --cc=sha1
-ac --cc=xxh64
-ac --cc=xxh3
-ac --cc=xxh128
-ac --cc=xxh64,md5
-a -I
-a -I --no-W
-a -W
-a --size-only
-a -u
-a -u --modify-window=60
-a -u --modify-window=-1
-a --existing
-a --ignore-existing --info=skip2
-a --existing --ignore-existing
-a --max-size=10k
-a --max-size=20
-a --min-size=1k
-a --min-size=1k --max-size=1.5m-1
-a --modify-window=1
-a --modify-window=-1
-a --modify-window=100000000
-a -z
-az --zl=1
-az --zl=9 --zc=zlib
-a --zc=zlib
-a --zc=zlibx
-a --zc=lz4
-a --zc=zstd
-a --zc=zstd --zl=-3
-a --zc=none
-azz
-az --zl=0
-az -W
-az --skip-compress=bin/gz
-a --no-inc-recursive
-a --no-i-r --delete-after
-d
-dl
-d | src
-r --list-only
--list-only
-rR --list-only | src/a-dir
-d --delete
-di --no-r | src/odd src/a-dir/ src/exe
-a | src
-a | src/./
-a | src/plain
-a | src/plain | dst/newname
-a | src/plain | dst/plain
-a | src/plain | dst/extradir
-a | src/a-dir src/plain src/odd
-a | src/a-dir/ src/plain src/odd/
-i | src
-v | src/ src/exe
-a | src/odd/../exe
-a | dup1/ dup2/
-r | dup1/ dup2/
-aR | dup1/both dup2/./both dup1/./both
-aR | src/odd/a/sub src/./hl src/./a-dir/one
-aR | src/a-dir src/odd/a/sub src/odd/./a/f ./src/deep
-aR --no-implied-dirs | src/odd/a/f src/hl
-aR --no-implied-dirs | src/odd/a/f src/hl | dst/ | empty
-aR | src/ldir/ src/l1
-aR | src/ldir/one | dst/ | empty
-aR --delete | src/./odd
-aR --delete | src/a-dir src/./hl
-aR | src/./ ./src/exe
-aRH | src/./hl src/./a-dir
-aH
-aH --delete
-aH --no-i-r
-aH --no-i-r | src/ | dst/ | empty
-aHH --no-i-r | src/ | dst/ | empty
-aHc
-aHI --no-W
-aH -b
-aH --inplace
-aH --max-size=100
-aH --existing
-aH -u
-aH --exclude=hl/b --exclude=n1
-aH --delay-updates
-aH | src/hl src/a-dir
-x
-ax
-axx
-ax --delete
-a --numeric-ids
-a --files-from=list | src
-ar --files-from=list | src
-a --no-R --files-from=list | src
-aR --no-implied-dirs --files-from=list | src/ | dst/ | empty
-a --files-from=list0 --from0 | src
-a0 --files-from=list0 --delete-missing-args | src
-a --files-from=list --ignore-missing-args | src
-a --files-from=list --delete | src
-ar --files-from=list --delete | src
-ad --files-from=list | src
-a --delete
-a --del
-a --delete-before
-a --delete-during
-a --delete-delay
-a --delete-after
-a --delete --no-i-r
-a --delete --exclude=plain*
-a --delete --exclude=*.o --exclude=gone*
-a --delete-excluded --exclude=plain* --exclude=*.o
-a --delete-excluded --delete-after --filter='P extra*'
-a --delete --max-delete=0
-a --delete --max-delete=3
-a --delete-after --max-delete=5
-a --delete-delay --max-delete=5
-a --delete --max-delete=-1
-a --delete --force
-a --force
-a --force -n
-a --delete --ignore-errors
-a --delete | src/ src/nonexist
-a --delete --ignore-errors | src/ src/nonexist
-a --delete | src/odd src/a-dir
-a --delete | src
-a --delete -b
-a --delete-after -b --suffix=.o
-a --delete -b --backup-dir=.bak
-a --delete -b --backup-dir=../bak
-a --delete --backup-dir=bdir --suffix=.x
-a --delete-missing-args | src/nonexist src/exe src/extra
-aR --delete-missing-args | src/./extradir src/./extra src/./nodir/x src/exe
-aR --delete-missing-args --delete | src/./extradir src/./extra src/./odd
-a --delete-missing-args -n | src/extra src/extradir src/exe
-a --delete-missing-args --force | src/extra src/extradir src/exe
-a --ignore-missing-args | src/nonexist src/exe
-a | src/nonexist src/exe src/nodir/
-a | src/nonexist
-a | src/plain src/plain src/./plain
-m -a --include=*/ --include=*.o --exclude=*
-am --delete
-am --delete --exclude=*.o --filter='P extradir/'
-am --no-i-r --min-size=10k
-am | src/ | dst/ | empty
-a -C
-a -F
-a -FF
-a -FF --delete
-a --exclude-from=list
-a --checksum-seed=7 -I --no-W --stats
-a --checksum-seed=-5 --cc=md4 -I --no-W --stats
-a -B 700
-a -B1000 -I --no-W
-a --partial
-aP
-a --partial-dir=.part
-a --partial-dir=.part --delete
-a --delay-updates
-a --delay-updates --delete
-a --delay-updates --partial-dir=.part
-a --delay-updates -b
-a --inplace
-a --inplace --no-W
-a --inplace --no-W -S
-a --inplace -W -S
-a --inplace -b --no-W
-a --inplace -b --backup-dir=.bak --info=backup
-a --inplace --partial-dir=.part --no-W
-a -S
-aS | src/ | dst/ | empty
-aS --no-W -I
-a --append
-a --append | src/ | dst/ | append
-a --append-verify | src/ | dst/ | append
-a --append -c | src/ | dst/ | append
-a --append-verify -I | src/ | dst/ | append
-a -n --append | src/ | dst/ | append
-az --append-verify | src/ | dst/ | append
-a --append -b | src/ | dst/ | append
-a --append-verify -b --backup-dir=.bak | src/ | dst/ | append
-a --preallocate
-a --preallocate -S
-a --preallocate --inplace
-a -y
-ayy
-ay --delete-after
-ay --delete
-ay --delete-delay --no-W
-a -b
-a -b --suffix=.old
-a -b --backup-dir=.bak --info=backup
-a -b --backup-dir=bdir --suffix=_
-a --backup-dir=../bak
-ab --existing --backup-dir=emptydir
-abn --info=backup --exclude=Directory* --exclude=chr
-abI
-a --safe-links
-a --safe-links | src
-a --safe-links -b --delete --info=symsafe,backup
-a --copy-unsafe-links
-aUU -O
-aN -J
-a -O -J --delete
-a -E --no-p
-a --no-p
-a --no-p | src/ | dst/ | empty
-rE | src/ | dst/ | empty
-a --chmod=Du+w,Fgo-rwx
-a --chmod=D2751,F640
-a --chmod=a=rX,ug+s
-a --no-p --chmod=ugo=rwX
-a --chown=1:2
-a --chown=daemon:mail
-a --chown=:bin
-a --usermap=*:3 --groupmap=0-10:4
-a --usermap=daemon:8,4-5:77,*:99
-a --usermap=root:mail,bin:0
-a --groupmap=nosuchgroup:3,*:games
-a --usermap=1:nosuchuser
-a --usermap=x:1: --groupmap=:
-a --numeric-ids --usermap=daemon:8,3:9
-a -U
-aUU
-aU | src/ | dst/ | same
-a --atimes --delete
-aN
-a --open-noatime
-a --temp-dir=.tmp
-a --temp-dir=nodir
-a --temp-dir=.tmp --partial-dir=.part
-a --fsync
-a --super
-a --no-super
-a --bwlimit=50000
-a --timeout=30
-a --mkpath | src/ | new/deep/er/
-a --mkpath | src/plain | new/deep/er
-a --mkpath -n | src/plain | new/deep/er/
-a --mkpath -R | src/./odd/a/f | new/deep/er
-a --mkpath | src/plain | dst/plain/x/y
-a | src/ | new/deep/
-a | src/ | newdir
-a | src/plain src/exe | newdir
-a -M--info=name2,skip2,stats2
-a --copy-dest=../alt1
-a --compare-dest=../alt1
-a --link-dest=../alt1
-a --link-dest=../alt1 --link-dest=../alt2
-aH --no-i-r --link-dest=../alt1 --link-dest=../alt2 | src/ | dst/ | empalt
-a --copy-dest=../alt1 --copy-dest=../alt2 | src/ | dst/ | empalt
-a --compare-dest=../alt1 --compare-dest=../alt2 | src/ | dst/ | empalt
-aii --compare-dest=../alt2 --compare-dest=../alt1 | src/ | dst/ | empalt
-aii --link-dest=../alt2 --link-dest=../alt1 --no-W
-ac --link-dest=../alt1
-ayy --compare-dest=../alt2 --compare-dest=../alt1
-a -yy --link-dest=../alt2 --no-W | src/ | dst/ | empalt
-aO --no-p --link-dest=../alt1
-a --link-dest=../nodir
-a --link-dest=../alt1 -n
-a --delete --link-dest=../alt1 --inplace
-aI --link-dest=../alt1
-a --size-only --link-dest=../alt1
-a --remove-source-files --info=remove
-aH --remove-source-files --delay-updates
-a --remove-sent-files
-an --remove-source-files
-a --remove-source-files --link-dest=../alt1 | src/ | dst/ | empalt
-a --remove-source-files --existing -u
-av
-avv
-av --delete
-avH
-aq
-aq | src/ src/nonexist
-a --stats
-av --stats --delete
-aH --stats --no-i-r | src/ | dst/ | empty
-az --stats --no-W
-a --info=name2,del2,skip --delete
-a --info=all
-a --info=none
-a --info=backup,copy,misc,mount,nonreg,remove,skip2,symsafe -b
-a --info=stats2,flist2,progress0
-a --info=progress2,name0
-aH --info=name2
-a --out-format=%n%L
-a --out-format='%o %i %B %C %f %G %U %l %M %m %n %L'
-a --out-format='%o %n' --delete
-a --out-format='%i %b %c %n' --stats
-a --out-format=%C -c
-avi --delete
-aii
-a --only-write-batch=batch
-a --write-batch=batch
-s -a
-s -a | 'src/odd/sp ace' src/exe
-a | 'src/odd/sp ace' 'src/odd/new
line' 'src/odd/-x' 'src/odd/*star'
-a --old-args | src/odd/-x src/exe
-a --exclude=*.o --exclude=/hl --include=sub --exclude=deep/
-a --exclude=src | src
-a --exclude=exe | src/exe src/text
-aX | src/ | dst/ | attributes
-aXF --filter='+x user.keep' --filter=': .rules' | src/ | dst/ | attributes
-aX --filter='dir-merge,x .only' --filter='protect,x user.o*' | src/ | dst/ | attributes
-aX --filter='.x src/sub/.only' --filter='. rules' | src/ | dst/ | attributes
-aX --filter='-xs user.a*' --filter='+xr user.o*' --filter='-xr user.*' | src/ | dst/ | attributes
-aX --filter='-x! user.a*' --delete | src/ | dst/ | attributes
-a -f -_/text -f -_hl*/
-a --include=*/ --include=*a* --exclude=*
-a --no-i-r --files-from=list0 --from0 --delete-missing-args -R | src
-aL | src/dang src/exe
-a -h --stats
-a --stop-at=2099-01-01 -M--stop-after=1
-M--bwlimit=9999 -a
""".strip("\n")
BOTH = [x.replace("\x00", "\n") for x in BOTH.replace("new\nline", "new\x00line").splitlines()]

PULL = """
-aL
-aLH
-ak
-aL --safe-links
-akR | src/ldir/one src/ldir
-aL --delete
-a --files-from=:{remote}list | src
-ar --files-from=:{remote}list --delete | src
-a0 --files-from=:{remote}list0 | src
-a --files-from=:{remote}nolist | src
-as --files-from=:{remote}list | src
-a | 'src/odd/*a*' src/plai?
-a --old-args | 'src/exe src/plain'
-as | 'src/alt/*'
-a | src/nomatch*
-a --copy-devices | src/chr src/exe
-a -M--chmod=D711,Fg+w
-aF | src/filt
-aFF | src/filt/
-aR --filter=':/ .rsync-filter' | src/filt/sub
-a --filter=': .rsync-filter' | src/filt/sub src/filt
-a --filter=':n- .rsync-filter'
-av --copy-unsafe-links | src
-avR --copy-unsafe-links | src/ldir src/odd
-a --files-from=listlinks | src
-aR | src/dang/ src/./l1/. src/./odd/lup/
-a --files-from=listlinks | src/
-r --stats | src/ src/odd src/hl | dst/ | empty
""".strip().splitlines()

PUSH = """
-aK
-rlK | src/ | dst/ | linked
-rlK --delete | src/ | dst/ | linked
-rlKR | src/./a-dir/one | dst/ | linked
-aR | src/./a-dir/one | dst/ | linked
-aR --no-implied-dirs | src/./a-dir/one | dst/ | linked
-a --link-dest=/alt1
-aHii --no-i-r --link-dest=../alt | src/ | dst/ | groups
-aHi --no-i-r --link-dest=../alt | src/ | dst/ | groups
-aHi -c --link-dest=../alt | src/ | dst/ | groups
-aHi --copy-dest=../alt | src/ | dst/ | groups
-aHi --no-i-r --copy-dest=../alt | src/ | dst/ | groups
-aHii --no-i-r --compare-dest=../alt | src/ | dst/ | groups
-a --write-devices --chmod=F666 | src/plain | dst/chr
-aL
-ak
-aF | src/filt
-a --trust-sender
-a -M--drop-D
-a -M--log-format=%n%L
-rlb --inplace -M--copy-as=1:1 | src/older src/exe src/regfull src/emptydir
-aHb | src/ | dst/ | taken
-aH --chown=1:1 | src/ | dst/ | taken
-aHb --inplace | src/ | dst/ | taken
-a --no-i-r --delete-missing-args --files-from=listlinks | src
-aA -M--fake-super --chmod=F427 | src/ | dst/ | fifo
-an | src/ | dst/ | taken
-aHn --delete --max-delete=1 | src/ | dst/ | taken
-aH --no-i-r | src/ | dst/ | blocked
-aH --no-i-r --delete --max-delete=1 | src/ | dst/ | blocked
-aHn --no-i-r --delete --max-delete=1 | src/ | dst/ | blocked
-rlt --backup-dir=.bak | src/ | dst/ | sgid
-a --delete --backup-dir=last | src/ | dst/ | sgid
-a --delete --inplace --backup-dir=last | src/ | dst/ | sgid
-a -b --suffix={suffix} --delay-updates | src/ | dst/ | sgid
-a -b --suffix={suffix} --partial-dir=pd | src/ | dst/ | sgid
-aHin --no-i-r --copy-dest=../alt | src/ | dst/ | groups
-an --temp-dir=none | src/ | dst/new | empty
-rtpy --stats --no-W | src/hl/ src/alt/ | dst/odd/
-aHn --no-i-r --link-dest=../src | src/ | alt/ | groups
-a --partial-dir=pd | src/ | dst/ | sgid
-a --existing --size-only --max-size=0 --delete-after --backup-dir=.bak -f 'P /extra' -f 'P /last' | src/ | dst/ | sgid
-aJ -M--fake-super
-aJ -M--fake-super | src/ | dst/ | empty
-a --temp-dir=exe/x
-a -b --backup-dir=exe/x
-a --link-dest=exe/x
-a --temp-dir=extralink
""".replace("{suffix}", 255 * "x").strip().splitlines()

# Where the order of lines is not the same twice (three processes print), lines are compared as a set; the order of
# what one process prints is compared in these.
ORDERED = ["-a", "-aR | src/odd/a/sub src/./hl src/./a-dir/one",
           "-a --groupmap=1:nosuch,3:alsonot --usermap=1:nobodyhere,2:noother,daemon:bin | src/exe src/setid"]

USER = ["-a", "-a --delete", "-rt", "-a --delete-after -b", "-a --inplace", "-aE --no-p", "-a --chmod=D511,F400 --delete", "-a --chown=1:2",
        "-a --groupmap=*:1", "-a --super | src/ | dst/ | empty", "-an --super | src/ | dst/ | empty", "-rlt --no-p | src/ | dst/ | empty", "-a --delay-updates --fuzzy"]
# Where the owner has closed things: what cannot be read or listed, and what is (not) deleted then.
USER += [o + " | src/ | dst/ | closed" for o in ("-a --delete-after", "-aL --delete-after --ignore-errors", "-ac --no-i-r --delete", "-ak -b --remove-source-files",
                                                 "-a --inplace --no-W", "-an --no-i-r --delete", "-a --delete -f '-! */'")] + ["-a --files-from=list | src | dst/ | closed"]
USER += ["-a | src src | dst/ | closed", "-aA -M--fake-super | src/ | dst/ | closed", "-a | src/ | dst/ | sealed"]
# ... and what nothing can be made of, or where.
USER += ["-rlt --copy-dest=../alt -yy | src/alike src/alike2 src/sized src/fuzz.x src/open | dst/ | closed",
         "-rltc --link-dest={remote}../alt | src/alike src/open | dst/ | closed", "-rlt --temp-dir=listed | src/alike src/open | dst/ | closed",
         "-aA | src/ | dst/ | fifo", "-aA --usermap=1:3 | src/ | dst/ | fifo"]


def empalt(top, template):
    """Alternate destinations, and nothing at the destination itself."""
    LAYOUTS["old"](top, template)
    shutil.rmtree(top + "/dst")
    os.mkdir(top + "/dst")
    os.utime(top + "/dst", ns=(10**18, 10**18))


def groups(top, _):
    """Pairs of hard links, and at the alternate destination one of everything that can have become of a pair."""
    states = ("same", "apart", "first", "second", "mode1", "mode2", "mode12", "time", "data1", "data2", "data12", "none")
    kinds = "rsf"

    def pairs(at):
        os.makedirs(at)
        put(at, "r1", b"data\n", mtime=NEW)
        os.symlink("target", at + "/s1")
        os.mkfifo(at + "/f1", 0o644)
        for k in kinds:
            os.link(f"{at}/{k}1", f"{at}/{k}2", follow_symlinks=False)

    def split(at):
        for k in kinds:
            os.unlink(f"{at}/{k}2")
            subprocess.run(["cp", "-a", f"{at}/{k}1", f"{at}/{k}2"], check=True)

    for state in states:
        alt = f"{top}/alt/{state}"
        pairs(f"{top}/src/{state}")
        pairs(alt)
        if state[-1].isdigit() or state == "apart":
            split(alt)
        for k in kinds:
            gone = {"first": "2", "second": "1", "none": "12"}.get(state, "")
            for n in "12":
                path = f"{alt}/{k}{n}"
                if n in gone:
                    os.unlink(path)
                elif state.startswith("mode") and n in state and k != "s":
                    os.chmod(path, 0o600)
                elif state.startswith("data") and n in state and k == "r":
                    put(alt, k + n, b"other data\n", mtime=OLD)
    settle(top + "/src", NEW)
    settle(top + "/alt", NEW)
    for k in kinds:
        os.utime(f"{top}/alt/time/{k}1", ns=(OLD, OLD), follow_symlinks=False)
    os.mkdir(top + "/dst")


def taken(top, _):
    """Pairs of hard links of each type, the place of the second taken by each type; the first is there or not. Some directories are not empty."""
    make = {"r": lambda p, n: put(p, n), "s": lambda p, n: os.symlink("target", f"{p}/{n}"), "f": lambda p, n: os.mkfifo(f"{p}/{n}", 0o640),
            "d": lambda p, n: os.mkdir(f"{p}/{n}"), "c": lambda p, n: os.mknod(f"{p}/{n}", 0o020600, os.makedev(1, 3))}
    kinds = "rsfc" if IS_ROOT else "rsf"
    for first in ("there", "new"):
        src, dst = f"{top}/src/{first}", f"{top}/dst/{first}"
        os.makedirs(src)
        os.makedirs(dst)
        for kind in kinds:
            for other in kinds + "d":
                pair = kind + other
                make[kind](src, pair + "1")
                os.link(f"{src}/{pair}1", f"{src}/{pair}2", follow_symlinks=False)
                make[other](dst, pair + "2")
                if first == "there":
                    subprocess.run(["cp", "-a", f"{src}/{pair}1", dst], check=True)
        if first == "there":
            os.mkdir(f"{dst}/sd2/full")
            put(f"{dst}/fd2", "full")
    settle(top + "/src", NEW)
    settle(top + "/dst", OLD)


def sgid(top, _):
    """The destination is set-gid, and holds an empty directory that is deleted before all else."""
    for side, when in (("src", NEW), ("dst", OLD)):
        put(f"{top}/{side}", "d/e/f", side.encode() * 300, mtime=when)
        put(f"{top}/{side}", "q/same", b"same", mtime=NEW)
        if side == "dst":
            os.mkdir(f"{top}/{side}/last")
            put(f"{top}/{side}", "q/pd/same", b"part", mtime=when)
            put(f"{top}/{side}", "extra", mtime=when)
        settle(f"{top}/{side}", when)
    if IS_ROOT:
        os.chown(top + "/dst", 0, 5)
    os.chmod(top + "/dst", 0o2755)


def blocked(top, _):
    """Pairs of hard links, the place of the first taken by a directory that is not empty; the second is there or not."""
    for kind, make in (("r", put), ("s", lambda p, n: os.symlink("target", f"{p}/{n}")), ("f", lambda p, n: os.mkfifo(f"{p}/{n}", 0o640))):
        for second in ("there", "new"):
            src, dst = f"{top}/src/{second}", f"{top}/dst/{second}"
            os.makedirs(src, exist_ok=True)
            make(src, kind + "1")
            os.link(f"{src}/{kind}1", f"{src}/{kind}2", follow_symlinks=False)
            put(f"{dst}/{kind}1", "full")
            if second == "there":
                subprocess.run(["cp", "-a", f"{src}/{kind}2", dst], check=True)
    settle(top + "/src", NEW)
    settle(top + "/dst", OLD)


def sealed(top, _):
    """A link comes where a directory is that cannot be listed."""
    os.makedirs(top + "/src")
    os.symlink("nowhere", top + "/src/way")
    put(top + "/dst", "way/in")
    settle(top + "/src", NEW)
    settle(top + "/dst", OLD)
    os.chmod(top + "/dst/way", 0o300)


def attributes(top, _):
    """Attributes at the source, others at the destination; files of rules about them."""
    values = {"src": {"user.ab": b"1", "user.a2b": b"2", "user.keep": b"3", "user.zz": b"5", "user.x/ab": b"6"},
              "dst": {"user.ab": b"0", "user.a3": b"x", "user.other": b"y", "user.zz": b"5"}}
    rules = {".rules": b"-x user.zz\n", "sub/.rules": b"!\n-x user.a*\n", "sub/.rsync-filter": b"-x user.a*\n- nothing\n", "sub/.only": b"- user.a*\n"}
    for side, attrs in values.items():
        at = f"{top}/{side}"
        for name in ("f", "sub/g", "sub/deep/h"):
            put(at, name, b"same", mtime=NEW)
        for name, text in rules.items():
            put(at, name, text, mtime=NEW)
        for name in (".", "sub", "sub/deep", "f", "sub/g", "sub/deep/h"):
            for key, value in attrs.items():
                os.setxattr(f"{at}/{name}", key, value)
        settle(at, NEW - 5)  # whole seconds: what protocol 30 does to the rest is another matter
        os.utime(at, ns=(NEW, NEW))
    put(top, "rules", b"-x user.a*\n+ f\n")


def fifo(top, _):
    """A real one, which takes no attributes, and a new directory in one with the set-gid bit."""
    for side in ("src", "dst"):
        os.mkdir(f"{top}/{side}")
        os.mkfifo(f"{top}/{side}/p", 0o644)
        settle(f"{top}/{side}", NEW)
        os.mkdir(f"{top}/{side}/q")
        os.chmod(f"{top}/{side}/q", 0o2755)
    os.mkdir(top + "/src/q/d")
    os.chmod(top + "/src/q/d", 0o755)
    subprocess.run(["setfacl", "-m", "u:1:4", top + "/src/p", top + "/src/q/d"], check=True)


def closed(top, _):
    for side, when in (("src", NEW), ("dst", OLD)):
        at = f"{top}/{side}"
        for name in ("shut/in", "sealed/in", "listed/in", "open/file", "nofile", "blind/in/deep", "same"):
            put(at, name, b"" if name == "same" else f"{side} {name}".encode(), mtime=NEW if name == "same" else when)
        settle(at, when)
    for name in ("alike", "alike2", "sized", "fuzzy.x"):
        put(top + "/alt", name, b"a\n", mtime=NEW, mode=0)
        put(top + "/src", name.replace("y.", "."), b"a\n" if name[0] == "a" else b"ab\n", mtime=NEW)
    for name in ("extra", "open/extra", "shut/extra"):
        put(top + "/dst", name)
    os.symlink("shut/in", top + "/src/link")
    with open(top + "/list", "w") as f:
        f.write("nofile\nshut/in\nsealed\nnotthere\nopen/file\nlisted/in\n")
    for name, mode in (("src/nofile", 0), ("src/shut", 0), ("src/sealed", 0o111), ("src/listed", 0o444), ("dst/blind", 0o111), ("dst/listed", 0o500),
                       ("dst/open/file", 0o200)):
        os.chmod(f"{top}/{name}", mode)


@pytest.fixture(scope="module")
def pair():
    with Pair({**LAYOUTS, "empalt": empalt, "groups": groups, "taken": taken, "blocked": blocked, "sgid": sgid, "closed": closed, "sealed": sealed, "fifo": fifo, "attributes": attributes}) as p:
        yield p


def ways(at, push):
    """The ways of the line with this number: one, or with KEDGE_PARITY=full all."""
    if FULL:
        for proto in range(27, 33):
            yield Way(push, False, proto)
            yield Way(push, True, proto)
        for proto in (28, 30, 31) if "3.2.7" in CLIENTS else ():
            yield Way(push, at % 2 == 0, proto, "3.2.7")
        return
    at += push
    if at % 2:
        yield Way(push, at // 2 % 2 == 0)
    else:
        proto = 27 + at // 4 % 6
        older = proto < 32 and at // 2 % 3 and "3.2.7" in CLIENTS
        yield Way(push, at // 2 % 2 == 0, proto, "3.2.7" if older else "3.5.0")


def possible(case, way):
    """Not what stock itself cannot do: it hangs, or dies of its own arguments."""
    words, old = case.opts.split(), (way.proto or 32) < 30
    backup = any(w.startswith("-") and not w.startswith("--") and "b" in w or w.startswith("--backup") for w in words)
    over = any(w in ("--inplace", "--append", "--append-verify") for w in words)
    return not (old and (over and backup or way.push and "--no-implied-dirs" in words or case.opts.count("-dest=") > 1 or
                        any(re.fullmatch("-[a-z]*m[a-z]*", w) for w in words) or
                        # Stock looks for rules behind links of the destination, and complains of them.
                        way.push and "-FF" in words and "--delete" in words or
                        # A warning of the stock daemon counts as an error, by chance.
                        not way.rsh and "missing-args" in case.opts and ("-aR" in words or "--files-from" in case.opts) or
                        # Nodes and times of access together: stock cannot read its own list.
                        "--atimes" in words or any(re.fullmatch("-[a-zU]*U[a-zU]*", w) for w in words)))


# Lines that are another on purpose (doc/differences.md): a pattern of the way and the case, and one of the lines.
KNOWN = [
    ("--suffix=xxx", rb"unlink .*File name too long|error in file IO|pd/f': mtime"),
    ("^push.*-aHii --no-i-r --compare-dest=../alt$", rb"second/r"),
    ("^push-rsh.*--backup-dir=[.][.]/bak", rb"chr|code (0 != )?23"),
    ("--(chown|usermap|groupmap)", rb" setid$"),
    ("^pull-tcp.* (-aL|-ak|.*copy-unsafe)", rb"labs"),
    ("^push.*--chmod=.*[+]s", rb"'dst/(blk|chr)': mode"),
    # When a client reads a list, the bytes that it counts depend on how they come.
    ("^pull", rb"File list size"),
    # Which stream an old protocol's warnings come by depends on who passes them on.
    ("rsh-p2[789].*(--append|--max-delete|-dest=|missing-args)", rb"failed verification|Deletions stopped|arg does not exist|has vanished"),
    ("tcp-p2[789].*missing-args", rb"parent dir is absent"),
    # The client may have gone before it reads why the server goes.
    ("rsh-p2[789].* -(a[AXy]|a -yy|.*--inplace)", rb"requires protocol|protocol incompatibility"),
    ("^push.*-p2[78].*--out-format=.?%o %n. --delete", rb"^del[.e]"),
    # A server that gives up closes with bytes unread: whether its last line arrives before the reset is chance.
    ("^pull-tcp", rb"read error: Connection reset by peer"),
    ("^pull-(tcp|rsh-p2[78]).* -ac --cc=none", rb"Invalid checksum-choice"),
]


def expected(case, way):
    """A filter of lines and of differences for Pair.compare."""
    patterns = [p for where, p in KNOWN if re.search(where, f"{way} {case.opts}")]
    return lambda line: not any(re.search(p, line) for p in patterns)


def rows():
    for push in (False, True):
        for at, line in enumerate(BOTH + (PUSH if push else PULL)):
            case = Case.parse(line)
            for way in ways(at, push):
                if not possible(case, way):
                    way = dataclasses.replace(way, proto=None)
                # In a chrooted module stock finds no names, and a daemon refuses --copy-as; and the broker makes no device where others may write.
                if push and re.search("--(chown|usermap|groupmap|copy-as)", line):
                    way = dataclasses.replace(way, rsh=True)
                yield pytest.param(case, way, id=f"{way} {case}".replace("\n", "\\n").replace("[", "("))


def with_items(case):
    words = case.opts.split()
    quiet = any(w.startswith(("--out-format", "--info=n", "--info=progress")) or w in ("-q", "-aq", "--list-only", "-v", "-M--bwlimit=9999") for w in words)
    return case if quiet else Case("-i " + case.opts, case.sources, case.dest, case.layout)


@pytest.mark.slow
@pytest.mark.parametrize("case,way", rows())
def test_case(pair, case, way):
    trouble = pair.compare(with_items(case), way, keep=expected(case, way))
    assert not trouble, trouble


@pytest.mark.slow
@pytest.mark.parametrize("push", [False, True], ids=["pull", "push"])
@pytest.mark.parametrize("line", ORDERED)
def test_order(pair, line, push):
    trouble = pair.compare(with_items(Case.parse(line)), Way(push, rsh=True), ordered=True)
    assert not trouble, trouble


@pytest.mark.slow
@pytest.mark.parametrize("push", [False, True], ids=["pull", "push"])
@pytest.mark.parametrize("line", USER)
def test_as_user(pair, line, push):
    """Neither server may do what only the superuser may."""
    if not IS_ROOT:
        pytest.skip("the other rows run as this user already")
    trouble = pair.compare(with_items(Case.parse(line)), Way(push, rsh=True, user=NOBODY), unique="fake" in line)      # who looks how often at what cannot be read
    assert not trouble, trouble
