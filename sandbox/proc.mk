# sandbox, process half
SANDBOX_PROC =
