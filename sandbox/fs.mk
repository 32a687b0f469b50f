# sandbox, filesystem half
SANDBOX_FS = sandbox/placeholder.c
