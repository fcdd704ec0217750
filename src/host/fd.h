/* Descriptors of the monitor's own. Threads: any. */
#ifndef HOST_FD_H
#define HOST_FD_H

/* A copy of a descriptor at a number that programs do not expect, closed by execve(); or -1. */
int host_fd_copy_up(int fd);

/* Moves a descriptor to a number that programs do not expect: low ones are what they count on. Takes `fd`; returns the new
 * one, or `fd` itself when there is no room. It is closed by execve(). */
int host_fd_move_up(int fd);

#endif
