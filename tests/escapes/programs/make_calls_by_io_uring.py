"""Have a kernel thread make its calls by io_uring, which no filter of calls sees."""

import ctypes

from hostile import call, hold

call("io_uring_setup", 8, ctypes.create_string_buffer(120))
hold()
