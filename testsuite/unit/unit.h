/* unit.h - what every cmocka test needs. */
#ifndef UNIT_H
#define UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* fail() is ours (base/err.h), and cmocka's fail_msg() would call its own. */
#undef fail
#undef fail_msg
#define fail_msg(...) do { print_error("ERROR: " __VA_ARGS__); print_error("\n"); _fail(__FILE__, __LINE__); } while (0)

#endif
