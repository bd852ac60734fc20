"""Choose by syslog which messages of the kernel come on the console."""

from hostile import bait, checked, libc

SYSLOG_ACTION_CONSOLE_LEVEL = 8
checked(libc.klogctl(SYSLOG_ACTION_CONSOLE_LEVEL, None, int(bait.level)))
