/* The time, without entering the host's kernel where its vDSO knows the answer: the guest's own vDSO comes here. */
#include "process/serve.h"

#include <sched.h>
#include <sys/time.h>
#include <time.h>

int64_t call_clock_gettime(struct thread *t, const struct sysargs *args)
{
    struct timespec now;
    if (clock_gettime((clockid_t)args->a[0], &now))
        return -errno;
    return copy_to_guest(t, args->a[1], &now, sizeof now);
}

int64_t call_gettimeofday(struct thread *t, const struct sysargs *args)
{
    struct timeval now;
    if (args->a[1])
        return host_call_now(SYS_gettimeofday, guest_pointer(t, args->a[0], sizeof now),
                             guest_pointer(t, args->a[1], sizeof(struct timezone)));
    if (!args->a[0])
        return 0;
    if (gettimeofday(&now, NULL))
        return -errno;
    return copy_to_guest(t, args->a[0], &now, sizeof now);
}

int64_t call_getcpu(struct thread *t, const struct sysargs *args)
{
    unsigned cpu, node;
    if (getcpu(&cpu, &node))
        return -errno;
    if (args->a[0] && copy_to_guest(t, args->a[0], &cpu, sizeof cpu))
        return -EFAULT;
    if (args->a[1] && copy_to_guest(t, args->a[1], &node, sizeof node))
        return -EFAULT;
    return 0;
}
