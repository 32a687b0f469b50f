"""Random trees, random mutations, random options: the stock server and kedge must leave equal trees and say the same.

A seed decides everything. KEDGE_SEEDS=FIRST-LAST (or one number) runs others than the default ones; a seed that once
failed goes into FAILED. Seeds from FIRST_WIDE on draw from more options, operands, modules and trees.
"""
import dataclasses
import os
import random
import re
import shutil

import pytest
from harness import CLIENTS, IS_ROOT
from parity import NOBODY, Case, Pair, Way
from trees import layout, wide_layout

FAILED = [20, 24, 142, 160, 184, 186, 239, 269, 323, 354, 415, 435, 464,
          1127, 1214, 1437, 2141, 2278, 2419, 3007, 3260, 4098, 4345, 5100, 5481, 5483, 5861,
          5866, 5985, 6003, 6391]
DEFAULT = [*range(1, 26), *range(1001, 1016)]

# What excludes each other is in one group; one of a group is taken with its probability.
GROUPS = [
    (1, ["-a", "-a", "-a", "-rlt", "-r", "-rlptD", "-dlt", "-rlpgoD", "-aR"]),
    (0.4, ["--delete", "--delete-before", "--delete-delay", "--delete-after", "--delete-excluded", "--delete --max-delete=3", "--delete --force"]),
    (0.25, ["--inplace", "--append", "--append-verify", "--delay-updates", "--partial-dir=.p", "--inplace --no-W"]),
    (0.25, ["-b", "-b --suffix=.old", "--backup-dir=.bak"]),
    (0.25, ["--link-dest=../alt1", "--copy-dest=../alt1", "--compare-dest=../alt1", "--link-dest=../alt2 --link-dest=../alt1",
            "--compare-dest=../alt1 --compare-dest=../alt2"]),
    (0.3, ["-c", "-I", "--size-only", "-u", "-W", "--modify-window=2", "--modify-window=-1"]),
    (0.2, ["--existing", "--ignore-existing", "--existing --ignore-existing"]),
    (0.3, ["-H --no-i-r", "--no-i-r"]),
    (0.2, ["-z", "--zc=lz4", "--zc=zlib", "--zc=zstd", "--zc=zlibx"]),
    (0.2, ["--max-size=2k", "--min-size=500", "--max-size=0"]),
    (0.2, ["-O", "-J", "-O -J"]),
    (0.2, ["-n"]),
    (0.15, ["-m"]),
    (0.15, ["-S"]),
    (0.1, ["-x"]),
    (0.15, ["--safe-links", "--copy-unsafe-links"]),
    (0.1, ["--chmod=Fg+w,Do-x", "--no-p", "-E --no-p", "--chmod=u+x --no-p"]),
    (0.1, ["--numeric-ids"]),
    (0.1, ["--ignore-errors", "--force"]),
    (0.1, ["--remove-source-files"]),
    (0.1, ["--stats"]),
    (0.1, ["-ii", "-v"]),
    (0.1, ["--cc=md5", "--cc=xxh64", "--cc=sha1"]),
    (0.1, ["-B 700", "-B 2000"]),
    (0.1, ["--preallocate", "--fsync"]),
    (0.1, ["-y"]),
    (0.35, ["-X", "-A", "-AX", "-AX", "-AX -M--fake-super" if IS_ROOT else "-AX"]),
    (0.2, ["--exclude=*.o", "--exclude=/a --exclude=sub/", "--include=a* --exclude=*.bin", "-C", "-f 'P a*' -f 'H b*'", "-f '-! */' -f 'S b'", "-f 'R a*' -f 'P *'"]),
]


# The wide seeds take these as well, and the ones below where operands and rules come from.
FIRST_WIDE = 1000
WIDE = [
    (0.2, ["-L", "-k", "-K", "--munge-links", "-k -K", "--copy-unsafe-links", "-l --safe-links"]),
    (0.15, ["--fuzzy", "-yy", "--fuzzy --delay-updates"]),
    (0.15, ["--link-dest=../alt3 --link-dest=../alt1 --link-dest=../alt2", "--compare-dest=../alt1 --compare-dest=../alt2 --compare-dest=../alt3",
            "--copy-dest=../alt3 --copy-dest=../alt2"]),
    (0.15, ["--chmod=Du+w,Fgo-rwx", "--chmod=a=rX", "--chmod=D2751,F640", "--no-p --chmod=ugo=rwX", "--chmod=Fu+s", "-E", "--no-p"]),
    (0.1, ["--usermap=1:3,*:2", "--groupmap=0-2:4321", "--chown=1:2", "--usermap=0:1 --groupmap=*:2", "--no-o", "--no-g", "--no-super", "--super"]),
    (0.1, ["--iconv=utf-8,latin1", "--iconv=latin1,utf-8", "--iconv=utf-8,utf-8"]),
    (0.05, ["-N", "--open-noatime"]),
    (0.1, ["--temp-dir=dir", "--temp-dir=nodir"]),
    (0.1, ["--delay-updates --partial-dir=.p", "--partial-dir=.p --inplace", "--partial", "--partial-dir=dir"]),
    (0.1, ["--backup-dir=../bak", "-b --backup-dir=.p", "-b --suffix=.o", "-b --backup-dir=dir --suffix=~"]),
    (0.1, ["--delete-missing-args", "--ignore-missing-args", "--max-delete=1", "--max-delete=0", "--delete-after --max-delete=6"]),
    (0.1, ["--max-size=20000 --min-size=20", "--max-size=1k-1", "--min-size=1"]),
    (0.1, ["--whole-file --inplace -S", "-S --inplace --no-W", "-S --append", "--append-verify --no-W", "-I --append", "-z --append-verify"]),
    (0.1, ["--list-only", "-d --no-r", "--no-dirs --no-r", "--no-implied-dirs"]),
    (0.1, ["-v", "-ii", "--info=all0,name2", "--info=del2,skip2,remove,symsafe2", "--info=backup,misc2,nonreg", "--out-format=%i:%n%L:%l:%B:%M", "--stats -v", "-q", "-P"]),
    (0.1, ["--files-from=list", "--files-from=list0 -0", "--files-from=list --no-R", "-r --files-from=list", "--files-from=listcr --no-implied-dirs", "-s --files-from=list"]),
    (0.1, ["-s", "--old-args", "--old-dirs", "--trust-sender", "--mkpath", "--numeric-ids", "--no-whole-file", "--prune-empty-dirs", "--secluded-args"]),
    (0.1, ["--remove-source-files --existing", "--remove-source-files -b", "-n --remove-source-files --stats", "--remove-source-files --min-size=500"]),
    (0.1, ["-H", "-H --delete-after", "-H --link-dest=../alt1", "-H -b", "-H --inplace", "-H --delay-updates", "-H --existing", "-HK"]),
]
FILTERS = ["- *.o", "+ a*", "- a*", "- /sub", "- sub/", "+ *.c", "-! */", "H b*", "S a*", "P *.bak", "R a*", "-s log*", "-r log*", "-p dir", "- **/b", "- dir/b", "-! a*", ": .rules",
           ": /.rules", ":- .cvsignore", ":C", ":e .rules", ":n .rules", ":w- .cvsignore", ":s .rules", ":r .rules", "dir-merge,ne- .rules", ". rules", "merge,e rules", "-C", "!", "- *",
           "+ */", "-/ /src/a", "-/ /dst/a", "- dir/***", "+ dir/", "hide,! */", "P,! *.o", ":p .rules", ".- rules", ".s rules", "- z*", "- \\*", "+ [a-c]", "- ?", "-s,p dir"]
OPERANDS = ["src", "src/.", "src/dir", "src/dir/ src/sub", "src/a src/b src/dir", "src/ src/sub/", "src/a", "src/nonexist src/a src/b", "src/ alt1/", "src/dir/ alt1/dir/ alt2/",
            "src/./dir src/./sub", "src/dir/./sub src/./a", "./src/dir/", "src/dir/../a", "src src", "src/*", "src/[ab]* src/d*/", "src/./", "src//dir//", "'src/x y' src/-n"]
DESTS = ["dst", "dst/dir/", "dst/new/", "dst/a", "dst/new", "new/deep/", "dst/.", "dst/dir/../sub", "dst//"]
MODULES = {
    "ex": {"exclude": "*.o /src/sub/ /dst/sub/ .rules"},
    "in": {"include": "*/ a* *.c", "exclude": "*"},
    "fil": {"filter": "-_*.bak + a* - /dst/dir/b"},
    "inch": {"incoming chmod": "Dg-w,Fo-r,F+X"},
    "outch": {"outgoing chmod": "a-w,Dg+s,F+X"},
    "mung": {"munge symlinks": "yes"},
    "num": {"numeric ids": "yes"},
    "fake": {"fake super": "yes"},
    "nochr": {"use chroot": "no"},
    "nobo": {"uid": "nobody", "gid": "nogroup"},
    "nono": {"uid": "nobody", "gid": "nogroup", "ignore nonreadable": "yes", "ignore errors": "yes"},
    "quiet": {"max verbosity": "0"},
    "verb1": {"max verbosity": "1"},
    "char": {"charset": "ISO-8859-1"},
    "temp": {"temp dir": "/tmp"},
    "dont": {"dont compress": "*.o a*"},
    "ro": {"read only": "yes"},
    "wo": {"write only": "yes"},
} if IS_ROOT else {}


def attributes(line):
    return any(w in ("-A", "-X", "-AX") for w in line.split())


def fuzzy(line):
    return bool({"-y", "-yy", "--fuzzy"} & set(line.split()))


def follows(line):
    return bool({"-L", "-k", "--copy-unsafe-links"} & set(line.split()))


def draw(seed):
    rnd = random.Random(seed * 7919)
    words = [rnd.choice(choices) for chance, choices in GROUPS if rnd.random() < chance]
    push, shell = rnd.random() < 0.7, rnd.random() < 0.5
    return draw_wide(rnd, seed, words, push, shell) if seed >= FIRST_WIDE else (*finish(rnd, seed, words, push, shell), "m")


def draw_wide(rnd, seed, words, push, shell):
    """Fewer of the common options, so that the rare ones meet each other."""
    words = [w for i, w in enumerate(words) if i == 0 or rnd.random() < 0.6]
    words += [rnd.choice(choices) for chance, choices in WIDE if rnd.random() < chance]
    words += [f"-f '{rnd.choice(FILTERS)}'" for _ in range(rnd.choice([0, 0, 0, 1, 2, 4]))]
    rnd.shuffle(words)
    if follows(" ".join(words)):    # links in the middle of an alternate directory
        words = [w for w in words if "-dest=" not in w]
    case, way = finish(rnd, seed, words, push, shell)
    if re.search(r"(^| )-\w*H", case.opts):     # else it is chance which of a group comes first
        case = dataclasses.replace(case, opts=case.opts + " --no-i-r")
    if (way.proto or 32) < 30 and re.search(r"dest=.*dest=|--(no-implied|atimes|prune|files-from)|-U|-m\b|-f |inplace.*-b|-b.*inplace", case.opts):
        way = dataclasses.replace(way, proto=30)    # what stock itself cannot do
    user = NOBODY if IS_ROOT and way.rsh and rnd.random() < 0.2 else None
    module = rnd.choice(sorted(MODULES)) if MODULES and not way.rsh and rnd.random() < 0.4 else "m"
    lists = "--files-from" in case.opts
    if module == "nochr":       # there stock changes links before it looks whether they are safe
        case = dataclasses.replace(case, opts=case.opts.replace("--safe-links", ""))
    if re.search("map=|chown=", case.opts):     # set-id files that change their owner
        case = dataclasses.replace(case, layout=case.layout + "-plain")
    if push and "--list-only" in case.opts:     # stock looks for them without going to the destination
        case = dataclasses.replace(case, opts=re.sub(r"--\w+-(dir|dest)=\S+", "", case.opts))
    if not way.rsh and module != "char" and {"-s", "--secluded-args"} & set(case.opts.split()):
        case = dataclasses.replace(case, opts=re.sub(r"--iconv=\S+", "", case.opts))   # a refusal that the stock client awaits for ever
    sources = rnd.choice(OPERANDS) if rnd.random() < 0.4 and not lists else "src" if lists else case.sources
    if not push and re.search(r"[*[]", sources) and (not way.rsh or re.search(r"-s\b|--sec", case.opts)):     # links that lead nowhere
        sources = "src/"
    dest = rnd.choice(DESTS) if rnd.random() < 0.2 else case.dest
    return dataclasses.replace(case, sources=sources, dest=dest), dataclasses.replace(way, user=user), module


def finish(rnd, seed, words, push, shell):
    line = " ".join(words)
    proto = rnd.choice([None, None, None, 27, 28, 29, 30, 31, 32])
    inplace = "--inplace" in line or "--append" in line
    # What is another on purpose (doc/differences.md).
    if "--ignore-existing" in line:
        line = re.sub("--delete\\S*( --\\S*)?", "", line)
    if not {"-a", "-aR"} & set(line.split()):
        line = line.replace("-M--fake-super", "")
    # Combinations that a client refuses say nothing about a server.
    if ("delay-updates" in line or "partial-dir" in line) and inplace:
        line = line.replace("--inplace", "")
    if "--append" in line and " -W" in line:
        line = line.replace(" -W", "")
    if proto and proto < 30 and (("-b" in line.split() or "--backup-dir" in line) and inplace or "-m" in line.split() or "-dest" in line or
                                attributes(line)):
        proto = 30
    source = "src" if rnd.random() < 0.1 else "src/"
    version = "3.2.7" if rnd.random() < 0.2 and "3.2.7" in CLIENTS and not proto == 32 else "3.5.0"
    return Case("-i " + line, sources=source, layout=f"seed-{seed}"), Way(push, shell, proto, version)


def seeds():
    wanted = os.environ.get("KEDGE_SEEDS")
    if not wanted:
        return sorted({*FAILED, *DEFAULT})
    first, _, last = wanted.partition("-")
    return range(int(first), int(last or first) + 1)


@pytest.fixture(scope="module")
def pair():
    with Pair({}, MODULES) as p:
        yield p


def hidden(case, way, module):
    """Lines of what is another on purpose (doc/differences.md), and of what depends on who is faster."""
    words = case.opts.split()
    out = []
    if "--iconv" in case.opts and not way.rsh and module != "char":     # refused; what the client sees of that depends on who is faster
        return [re.compile(b"")]
    if "-S" in words and "--append" in case.opts:       # there stock fails to write
        return [re.compile(b"")]
    if "--ignore-existing" in words:    # a directory's time for what was kept from becoming one, and a look for things to delete
        out.append(b"mtime|Not a directory")
    if "--inplace" in words and {"-r", "-rlpgoD"} & set(words):
        out.append(b"mtime 'now' !=")
    if "--copy-unsafe-links" in words and not way.rsh or follows(case.opts) or "--files-from" in case.opts and not (way.push or way.rsh):    # one that names the root, or goes out of the module
        out.append(b"no referent|Too many levels")
    if {"-b", "--backup-dir=.bak"} & set(words):
        backups = rb"dst/(\.bak\b|\.p\b|.*(~|\.old|\.o)['\"/])"
        out.append(rb"deleting +.*(~|\.old)/")     # made way for them
        if "--compare-dest" in case.opts or "--link-dest" in case.opts:     # kept as well: what an alternate place replaces
            out += [backups, b": group |^backed up "]
        elif "--inplace" in words and "-a" not in words:    # a copy, with the old file's time and owner
            out.append(backups + b".*: (mtime|ids)")
        if "--backup-dir=.bak" in words and "--safe-links" in words:        # made for a link that is not kept
            out.append(rb"only in first: b'dst/\.bak/")
    if "--backup-dir" in case.opts or "-b" in words:    # the calls that led to it, and who is first to tell
        out.append(rb"(unlink|open|link|stat) .*File name too long|error in file IO")
    if "--inplace" in words and "../bak" in case.opts:      # its owner, mode and time are not set
        out.append(rb"^b['\"]bak/")
        if way.rsh:
            out.append(rb"stat .*/\.\./bak/|exit code 23|code 23")
    if "--copy-dest" in case.opts and not any(w in ("-a", "-aR", "-rlptD", "-rlpgoD") for w in words):   # the mode of a link or special that was there
        out.append(b": mode ")
    if "--temp-dir" in case.opts:       # a directory of the destination, whose time changes meanwhile
        out.append(rb"^\.d\.\.t\.* ")
    if case.opts.count("-dest=") > 1 and attributes(case.opts):     # the ACL of one is taken for that of the next
        out.append(rb"^cd\.\.")
    if "--ignore-existing" in words and "H" in case.opts:   # where the last of a group cannot be made
        out.append(rb"only in second|^<f\+")
    if way.user and attributes(case.opts):      # the first one of those that cannot be read, and the form of the file's name
        out.append(rb"lgetxattr\(.*Permission denied")
    if module in ("wo", "ro"):      # whether it arrives before the reset
        out.append(b"ERROR: module is |cannot be used with a read-only module")
    if "-n" in words and "-dest=" in case.opts and attributes(case.opts):      # set on what is not there
        out.append(b"copy_xattrs: |exit code 23|code 23")
    if "--remove-source-files" in case.opts and "--files-from" in case.opts:
        out.append(b"^sender file already removed|sender failed to remove")
    if "--remove-source-files" in words and attributes(case.opts):      # removed before they are read
        out.append(b": xattrs user|read xattr|get_xattr_data|exit code 23|code 23")
    if fuzzy(case.opts) and ("--no-p" in words or not any(w in ("-a", "-aR", "-rlptD", "-rlpgoD") for w in words)):    # the mode of the basis
        out.append(b": mode |^.f..[.]p")
    if module == "fake" and not any(w in ("-a", "-aR", "-rlpgoD") for w in words):      # ids that nobody sent
        out.append(rb": xattrs user\.rsync\.%stat ")
    if way.push:    # of a loop: who finds it
        out.append(b"(cannot stat destination|change_dir#1) .*Too many levels")
    out.append(b"refusing to follow a symlink owned by")
    if "-K" in words or "-HK" in words:
        out.append(b": (mtime|ids|mode) ")
    if fuzzy(case.opts) and (way.user or module in ("nobo", "nono")):       # who looks into a directory that may not be looked into
        out.append(rb"\[generator\] (readlink_stat\(|opendir )")
    if attributes(case.opts) and "--inplace" in words:      # backups that are copies
        out.append(rb"^b['\"]\S*(~|\.old|\.o|\.bak|\.p).*: xattrs system\.posix_acl_access")
    if attributes(case.opts) and re.search("map=|chown=", case.opts) and ("--numeric-ids" in words or not way.rsh):     # mapped for once only
        out.append(rb": xattrs system\.posix_acl_|^[.<c][fdS]\S*a\.* ")
    if way.user and attributes(case.opts):      # a directory whose owner is shut out by its ACL
        out.append(rb": (mode|xattrs system\.posix_acl_access) ")
    if "-c" in words and way.user:      # what neither side can read
        out.append(b"failed to open|mtime")
    if "../bak" in case.opts and way.rsh:       # devices, and names that are too long for it
        out.append(b"only in |cannot delete non-empty|deleting |: group |Invalid argument|_backup|code 23")
    if "-m" in words and " " in case.sources:   # an empty directory that two of them have
        out.append(rb"^[c.]d|only in first|: ids ")
    if way.push and "X" in "".join(w for w in words if w[:2] in ("-X", "-A")):
        # The stock receiver applies mode and time once more when long values arrive.
        if not {"-a", "-aR", "-rlptD", "-rlpgoD"} & set(words):
            out.append(b": (mode|mtime|xattrs) ")
        out.append(rb": mtime (-?[0-9]+)[0-9]{9} != \1[0-9]{9}$")
        if (way.proto or 32) < 31:
            out.append(b": mtime (0|-?[0-9]+0{9}) != -?[0-9]+$")
        if not any(w[0] == "-" and w[1:2] != "-" and "H" in w for w in words):     # two names of one file that lose the same attributes
            out.append(rb"^\.f\.{7}[.a]x ")
        if "-M--fake-super" in words:   # stock loses the ACL when long values arrive
            out.append(rb": xattrs user.rsync.%[ad]acl ")
        if way.user or module in ("nobo", "nono"):      # a value that is there already is not set again, and so is no error
            out.append(rb"rsync_xal_set: lsetxattr")
    if "--iconv" in case.opts and way.rsh:      # names that are not ASCII, in messages
        out.append(rb"^rsync: \[.*(\\#[23]\d\d|[\x80-\xff])")
    if "--delete-missing-args" in words and not way.push:       # below a link that leads nowhere
        out.append(b"file has vanished: ")
    if not way.push and not way.rsh and "-aR" in words:
        out.append(b"^sender (file already )?removed ")
    out.append(rb"(cannot stat destination|change_dir#1) .*Too many levels")      # a loop
    if "/./" in case.sources or "//" in case.sources or "/." in case.sources or case.sources.startswith("./"):      # one form for each name
        out.append(b"change_dir ")
    if not way.push:        # the bytes of a list, as they came
        out.append(b"File list size")
    if "u+s" in case.opts:      # of device nodes
        out.append(rb": mode 2\d\d\d != ")
    if (way.proto or 32) < 29:      # what begins like "-" is sorted in front of the top, and may have changed its time
        out.append(rb"\.d\.\.[tT]\.* \./$")
    return [re.compile(x) for x in out]


def prepare(pair, seed, case, way):
    make, devices = (wide_layout if seed >= FIRST_WIDE else layout), IS_ROOT and way.rsh
    pair.layouts[case.layout] = make(seed, devices, attributes(case.opts), *([follows(case.opts), "--iconv" in case.opts, way.user, case.layout.endswith("-plain")] if seed >= FIRST_WIDE else []))


def trouble_of(pair, seed):
    case, way, module = draw(seed)
    prepare(pair, seed, case, way)
    patterns = hidden(case, way, module)
    try:
        # A fuzzy basis that another process replaced meanwhile is asked for twice.
        trouble = pair.compare(case, way, module, unique=fuzzy(case.opts), early=(1, 11), keep=lambda x: not any(p.search(x) for p in patterns))
    finally:
        shutil.rmtree(pair.template(case.layout), ignore_errors=True)
        pair.made.pop(case.layout, None)
    return trouble and f"seed {seed}: {way} {module} {case}\n{trouble}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", seeds())
def test_seed(pair, seed):
    trouble = trouble_of(pair, seed)
    assert not trouble, trouble
