# sandbox, process half
SANDBOX_PROC = sandbox/chan.h sandbox/confine.h sandbox/spawn.h sandbox/broker.h
