/* What the assembly of this folder shares with C. */
#ifndef HOST_ENTRY_H
#define HOST_ENTRY_H

/* "Not begun: do it again after looking at what is pending." No errno of Linux has this value. */
#define HOST_ERESTART        4000

#define HOST_EFAULT          14
#define HOST_NR_RT_SIGRETURN 15

#endif
