/* Copies that survive a bad address: what every access to guest memory by the monitor is made of.
 * Threads: any. The owner's SIGSEGV/SIGBUS handler must call host_copy_fault(). */
#ifndef HOST_COPY_H
#define HOST_COPY_H

#include <stdbool.h>
#include <stddef.h>

/* Returns how many bytes at the end were NOT copied: 0 means all was well. */
size_t host_copy(void *to, const void *from, size_t size);

/* Copies up to `size` bytes of a string, its NUL included. Returns the length without the NUL, `size` when there was no
 * NUL in `size` bytes, -1 on a bad address. */
long host_copy_string(char *to, const char *from, size_t size);

/* In a signal handler: if the fault happened inside one of the copies above, makes it return and says true. */
bool host_copy_fault(void *ucontext);

#endif
