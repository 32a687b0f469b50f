# sandbox, filesystem half
SANDBOX_FS = sandbox/placeholder.c sandbox/anchor.h sandbox/fs.h sandbox/opfile.h
