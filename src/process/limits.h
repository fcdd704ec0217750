/* The resource limits that count memory of the monitor too: RLIMIT_AS and RLIMIT_DATA.
 *
 * The host has the guest's limit and a share for the monitor on top, so what a guest sets goes through fork() and execve()
 * to guests and to programs of the host alike, and running into a limit is the guest's affair: the address space (mm.h)
 * holds the guest's own mappings to the guest's number. Both directions are pure arithmetic: there is no second record.
 * Threads: any. Source: getrlimit(2). */
#ifndef PROCESS_LIMITS_H
#define PROCESS_LIMITS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

/* Does the host's limit include the monitor's share? */
bool limit_is_shared(unsigned resource);

/* The guest's limit as the host gets it, and back. */
struct rlimit limit_to_host(unsigned resource, const struct rlimit *guest);
struct rlimit limit_to_guest(unsigned resource, const struct rlimit *host);

/* The guest's soft limit of this process, RLIM_INFINITY without. */
uint64_t limit_now(unsigned resource);

#endif
