#include "process/limits.h"

#include "base/util.h"

/* Addresses of the translator's code, twice 64 MiB; the monitor itself starts with 3 MiB; the rest is for predecoded
 * code and the stacks of its threads. */
#define MONITOR_SHARE ((rlim_t)192 << 20)

bool limit_is_shared(unsigned resource)
{
    return resource == RLIMIT_AS || resource == RLIMIT_DATA;
}

static rlim_t add_share(rlim_t value)
{
    return value < RLIM_INFINITY - MONITOR_SHARE ? value + MONITOR_SHARE : RLIM_INFINITY;
}

static rlim_t take_share(rlim_t value)
{
    return value == RLIM_INFINITY ? value : value - MIN(value, MONITOR_SHARE);
}

struct rlimit limit_to_host(unsigned resource, const struct rlimit *guest)
{
    if (!limit_is_shared(resource))
        return *guest;
    return (struct rlimit){add_share(guest->rlim_cur), add_share(guest->rlim_max)};
}

struct rlimit limit_to_guest(unsigned resource, const struct rlimit *host)
{
    if (!limit_is_shared(resource))
        return *host;
    return (struct rlimit){take_share(host->rlim_cur), take_share(host->rlim_max)};
}

uint64_t limit_now(unsigned resource)
{
    struct rlimit host;
    return getrlimit((__rlimit_resource_t)resource, &host) ? RLIM_INFINITY
                                                           : limit_to_guest(resource, &host).rlim_cur;
}
