"""Filter rules on both sides: what is hidden, shown, protected and deleted, and what bad rules say, as the stock server does.

Three tables: rules given as options (they travel to the server), the contents of per-directory merge files (the server
reads its own), and rules that a server must refuse.
"""
import os
import re

import pytest
from parity import NEW, OLD, Case, Pair, Way, put, settle

NAMES = """
foo foo.c foo.o bar bar.o baz.txt core a.bak tags x y.tmp [br] *star back\\slash
sub/foo sub/foo.o sub/bar sub/baz.txt sub/deep/foo sub/deep/foo.c sub/deep/bar.o sub/deep/er/foo sub/deep/er/x
foo.d/foo foo.d/bar foo.d/in/foo other/foo other/bar/foo other/bar/baz other/keep.tmp dir.o/a dir.o/b.c CVS/x CVS/foo .hid/foo .svn/y
only/x.o only/y.o mix/x.o mix/k
""".split()

# Each rule or set of rules, by itself, with every deletion mode of MODES.
RULES = """
--exclude=foo
--exclude=/foo
--exclude=foo/
--exclude=foo.d/
--exclude=sub/foo
--exclude=/sub/foo
--exclude=/sub/*/foo
--exclude=/sub/**/foo
--exclude=sub/**
--exclude=/sub/***
--exclude=**/foo
--exclude=**foo
--exclude=*/foo
--exclude=/*/
--exclude=/*
--exclude=*
--include=*/ --exclude=*
--include=foo --exclude=*
--include=*/ --include=*.c --exclude=*
--include=/sub/ --include=/sub/deep/*** --exclude=*
--include=sub/deep/ --include=sub/ --include=*.c --exclude=*
--exclude=*.o --include=foo.o
--include=foo.o --exclude=*.o
--exclude=[a-f]*
--exclude=[!a-f]*
--exclude=[^a-f]oo
--exclude=[[:alpha:]]oo
--exclude=[[:upper:]]*
--exclude=?oo
--exclude=foo?
--exclude=f*o*
--exclude='\\[br]'
--exclude='[[]br]'
--exclude='\\*star'
--exclude='back\\slash'
--exclude='back\\\\slash'
--exclude='ba[rz]*'
--exclude='[]x]'
--exclude='[a-'
--exclude=deep/er
--exclude=er/
--exclude=/deep
--exclude=*.d/foo
--exclude=*.d/**
--exclude=foo.d/***
--exclude='- foo'
--exclude='+ foo' --exclude=foo
--include='- foo' --exclude=*
--exclude=foo --exclude=! --exclude=bar
--exclude=foo -f '!' -f '- bar'
-f '- foo'
-f '-_foo'
-f 'exclude foo' -f 'include foo.o' -f '- *.o'
-f '-! foo' -f '+ x'
-f '-! */' -f '+ foo'
-f '-/ /foo'
-f '-/ sub/foo'
-f '-s foo'
-f '-r foo'
-f '-sr foo'
-f 'H foo'
-f 'S foo' -f 'H *'
-f 'hide foo.d/'
-f 'show /foo' -f 'hide foo'
-f 'P foo'
-f 'protect foo.d/'
-f 'P extra*'
-f 'P *.o'
-f 'R extra.o' -f 'P extra*'
-f 'risk extra/in' -f 'P extra/'
-f 'P extra/in'
-f 'P /extra/in/**'
-f '-p foo'
-f '-p extra2' -f '-p in'
-f '-pr x'
-f 'Pp x'
-f '-C'
-C
-C --exclude=foo
-f '+ core' -C
-f ':C' -f '+ *.o' -f '-C'
-f '+C'
-f '-x user.foo'
-f ': .rules'
-f ':n .rules'
-f ':e .rules'
-f ':s .rules'
-f ':r .rules'
-f ':- .list'
-f ':+ .list' -f '- *'
-f ':w- .words'
-f ':C .words'
-f ':/ .rules'
-f ':p .rules'
-f ': /.rules'
-f ': /sub/deep/.rules'
-f ': sub/.rules'
-f 'dir-merge,n- .list'
-f ':ne- .list'
-f ': .rules' -f ': .rules2' -f '- bar'
-f ': .none'
-f '. merged'
-f 'merge merged' -f '- bar'
-f '.- list'
-f '.+ list' -f '- *'
-f '.s merged'
-f '.r merged'
-f '.w- words'
-f '.C words'
-f '.e merged'
--exclude-from=oldlist
--include-from=oldlist --exclude=*
--exclude-from=oldlist0 -0
-F
-FF
-F --exclude=bar
-f ': .rules' --exclude=foo
""".strip().replace("\\\\", "\\").splitlines()

MODES = ["--delete", "", "--delete-excluded", "-m", "--delete-after -m", "--delete-before --delete-excluded", "--delete-delay", "-R --delete", "-n --delete --force",
         "--delete-during -b", "--delete --protocol=29", "--delete-excluded --protocol=28", "--delete-after --max-delete=4"]

# Contents of .rules in the root, in sub, in sub/deep and in extra, for ": .rules" with deletion.
MERGED = {
    "plain": ("- foo\n- *.o\n", "", "", ""),
    "anchored": ("- /foo\n- /sub/foo\n", "- /foo\n- /deep/foo\n", "- /foo\n- /er\n", "- /in\n"),
    "clear": ("- foo\n- bar\n", "!\n- x\n", "+ foo\n", ""),
    "clear-word": ("- foo\n", "clear\n", "", "- x\n"),
    "override": ("- foo\n", "+ foo\n", "- foo\n", "+ *\n"),
    "sides": ("H foo\nP extra*\nS bar\n", "R foo.o\nP *.o\n", "-s x\n-r foo.c\n", "P in\n"),
    "comments": ("# comment\n; other\n\n- foo\n#\n", "- #hash\n", "\n\n- er/\n", ""),
    "crlf": ("- foo\r\n- bar\r\n", "- x\r- foo.o", "- foo.c", ""),
    "nested": (". ./.more\n: .rules2\n", "", "", ""),
    "nested-bare": (".- .list\n", "", "", ""),
    "excl": ("-! */\n+ foo\n", "", "", ""),
    "dirs": ("- deep/\n+ foo.d/\n- */\n", "", "", ""),
    "perish": ("-p foo\n-p x\n-p in\n", "", "", "-p x\n"),
    "wild": ("- sub/**/foo\n- **/er/\n- other/*\n", "- **o\n", "- /*/x\n", ""),
    "absmod": ("-/ /sub/foo\n-/ foo\n", "", "-/ /sub/deep/er\n", ""),
    "cvs": ("-C\n", ":C\n", "", ""),
    "hideall": ("", "- *\n", "", "- *\n"),
    "longname": ("exclude foo\nhide,p bar\nprotect extra2\n", "include foo.o\n- *.o\n", "", ""),
    "missing-merge": ("", "", "- foo\n", ""),
    "space": ("-  foo\n- foo \n-_bar\n", "", "", ""),
    # and those that are refused
    "bad-word": ("frob foo\n", "", "", ""),
    "bad-modifier": ("-z foo\n", "", "", ""),
    "bad-end": ("- \n", "", "", ""),
    "bad-deep": ("- bar\n", "", "- ok\nbad rule here\n", ""),
    "bad-clear": ("! x\n", "", "", ""),
    "bad-merge": (". .nosuchfile\n", "", "", ""),
    "bad-indent": (" - foo\n", "", "", ""),
    "bad-extra": ("", "", "", "what is this\n"),
    "bad-side": (":s .rules3\n", "", "", ""),
    "bad-loop": (". ./.rules\n", "", "", ""),
}


def tree(src, prefix=""):
    for name in NAMES:
        put(src, name, (prefix + name).encode() * 3)
    os.symlink("foo", src + "/foo.l")
    os.makedirs(src + "/empty/foo")
    put(src, ".list", b"foo\n- bar\n*.o\n")
    put(src, "sub/.list", b"x\nbaz.txt\n")
    put(src, ".words", b"foo *.o\n x\n")
    put(src, "sub/.words", b"! bar")
    put(src, ".rsync-filter", b"- *.o\n- /other\n")
    put(src, "sub/.rsync-filter", b"+ bar.o\n- baz*\n")
    put(src, "other/.cvsignore", b"foo ba*\n")
    put(src, ".rules2", b"- y.tmp\n")
    put(src, ".rules3", b"-r foo\n")
    put(src, ".more", b"- baz.txt\n- /sub/foo\n")


def extras(dst):
    for name in ("extra", "extra.o", "extra2/x", "extra2/foo", "extra3/in/foo", "extra3/in/x", "extra3/y", "sub/extra.o", "sub/foo2", "sub/deep/extra",
                 "foo2/foo", "CVS2/core", "other/extra", "sub/CVS/y", "x.o"):
        put(dst, name, mtime=OLD)


def helpers(top):
    put(top, "merged", b"- foo\n+ bar\n- *.o\n")
    put(top, "list", b"foo\n*.o\n")
    put(top, "words", b"foo *.o x")
    put(top, "oldlist", b"# comment\n- foo\n+ bar\n;x\nbaz.txt\n\n*.o\n")
    put(top, "oldlist0", b"foo\0- bar\0#x\0*.o")


def base(merge):
    def make(top, _):
        src, dst = top + "/src", top + "/dst"
        tree(src)
        tree(dst, "old ")
        extras(dst)
        if merge:
            for where, text in zip(("", "sub/", "sub/deep/", "extra3/"), MERGED[merge]):
                for side in (src, dst):
                    if text and os.path.isdir(f"{side}/{where}"):
                        put(side, where + ".rules", text.encode())
        for d, _, files in os.walk(dst):
            for f in files:
                if not os.path.islink(os.path.join(d, f)):
                    os.utime(os.path.join(d, f), ns=(OLD, OLD))
        helpers(top)
        settle(src, NEW)
        settle(dst, OLD)
    return make


LAYOUTS = {"rules": base("sides"), **{"m-" + n: base(n) for n in MERGED}}


@pytest.fixture(scope="module")
def pair():
    with Pair(LAYOUTS) as p:
        yield p


def rule_rows():
    """Every rule in each direction with one of the modes, every other time a plain --delete; with KEDGE_PARITY=full with all."""
    full = os.environ.get("KEDGE_PARITY") == "full"
    for push in (False, True):
        for at, rule in enumerate(RULES):
            some = MODES if full else [MODES[0 if (at + push) % 2 else (at // 2 + 5 * push) % len(MODES)]]
            for n, mode in enumerate(some):
                if mode == "--delete-delay" and (":" in rule or "-F" in rule):
                    mode = "--delete-after"   # stock forgets inherited rules until then
                yield pytest.param(Case(f"-ai {rule} {mode}", layout="rules"), Way(push, (at + n + push) % 2 == 0),
                                   id=f"{'push' if push else 'pull'} {rule} {mode}".replace("[", "("))


@pytest.mark.slow
@pytest.mark.parametrize("case,way", rule_rows())
def test_rule(pair, case, way):
    trouble = pair.compare(case, way)
    assert not trouble, trouble


# Which of its processes ends a session, and how exactly a rule's origin is told, is each server's own.
KNOWN = {"bad-extra": rb"rsync error:", "bad-side": rb"<rule from", "bad-loop": rb"<rule from"}


def merge_rows():
    """Every file in both directions by a plain rule; not inherited and one-sided in one of them."""
    for at, merge in enumerate(MERGED):
        for push in (False, True):
            yield merge, ": .rules", push
        yield merge, ":n .rules", at % 2 == 0
        yield merge, ":s .rules", at % 2 == 1


@pytest.mark.slow
@pytest.mark.parametrize("merge,kind,push", merge_rows())
def test_merge_file(pair, merge, kind, push):
    mode = "--delete-after" if len(merge) % 2 else "--delete"
    if merge == "bad-deep":     # it ends the session: how much was deleted until then would be chance
        mode += " --no-i-r"
    trouble = pair.compare(Case(f"-ai -f '{kind}' {mode}", layout="m-" + merge), Way(push, len(merge + kind) % 3 == 0),
                           keep=lambda line: not re.search(KNOWN.get(merge, b"^$"), line))
    assert not trouble, trouble
