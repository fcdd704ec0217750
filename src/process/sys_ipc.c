/* System V IPC and message queues: control calls, whose argument depends on the command. */
#include "process/guest_abi.h"
#include "process/serve.h"

#include <sys/msg.h>
#include <sys/shm.h>

/* Commands that libc's headers may not have. */
enum { GUEST_MSG_STAT_ANY = 13, GUEST_SHM_STAT_ANY = 15, GUEST_SEM_STAT_ANY = 20 };

int64_t call_msgctl(struct thread *t, const struct sysargs *args)
{
    uint64_t size;
    switch ((int)args->a[1]) {
    case IPC_STAT:
    case IPC_SET:
    case MSG_STAT:
    case GUEST_MSG_STAT_ANY: size = sizeof(struct msqid_ds); break;
    case IPC_INFO:
    case MSG_INFO: size = sizeof(struct msginfo); break;
    case IPC_RMID: size = 0; break;
    default: return -EINVAL;
    }
    return host_call(t, SYS_msgctl, (int)args->a[0], (int)args->a[1], guest_pointer(t, args->a[2], size));
}

int64_t call_shmctl(struct thread *t, const struct sysargs *args)
{
    uint64_t size;
    switch ((int)args->a[1]) {
    case IPC_STAT:
    case IPC_SET:
    case SHM_STAT:
    case GUEST_SHM_STAT_ANY: size = sizeof(struct shmid_ds); break;
    case IPC_INFO: size = sizeof(struct shminfo); break;
    case SHM_INFO: size = sizeof(struct shm_info); break;
    case IPC_RMID:
    case SHM_LOCK:
    case SHM_UNLOCK: size = 0; break;
    default: return -EINVAL;
    }
    return host_call(t, SYS_shmctl, (int)args->a[0], (int)args->a[1], guest_pointer(t, args->a[2], size));
}

static int64_t get_semaphores(struct thread *t, const struct sysargs *args)
{
    struct semid_ds host;
    int64_t result = host_call(t, SYS_semctl, (int)args->a[0], (int)args->a[1], (int)args->a[2], &host);
    if (result < 0)
        return result;
    struct guest_semid_ds guest = guest_semid_ds(&host);
    return copy_to_guest(t, args->a[3], &guest, sizeof guest) ? -EFAULT : result;
}

static int64_t set_semaphores(struct thread *t, const struct sysargs *args)
{
    struct guest_semid_ds guest;
    if (copy_from_guest(t, &guest, args->a[3], sizeof guest))
        return -EFAULT;
    struct semid_ds host = host_semid_ds(&guest);
    return host_call(t, SYS_semctl, (int)args->a[0], (int)args->a[1], IPC_SET, &host);
}

/* As many a set has at most, unless the host is told otherwise: linux/sem.h, SEMMSL. */
enum { MOST_SEMAPHORES = 32000 };

int64_t call_semctl(struct thread *t, const struct sysargs *args)
{
    uint64_t argument = args->a[3];
    switch ((int)args->a[2]) {
    case IPC_STAT:
    case SEM_STAT:
    case GUEST_SEM_STAT_ANY: return get_semaphores(t, args);
    case IPC_SET: return set_semaphores(t, args);
    case IPC_INFO:
    case SEM_INFO: argument = (uint64_t)guest_pointer(t, argument, sizeof(struct seminfo)); break;
    case GETALL:
    case SETALL:
        argument = (uint64_t)guest_pointer_up_to(t, argument, MOST_SEMAPHORES * sizeof(uint16_t));
        break;
    case IPC_RMID:
    case GETPID:
    case GETVAL:
    case GETNCNT:
    case GETZCNT:
    case SETVAL: break;
    default: return -EINVAL;
    }
    return host_call(t, SYS_semctl, (int)args->a[0], (int)args->a[1], (int)args->a[2], argument);
}

/* For SIGEV_THREAD the kernel reads a cookie of 32 bytes that it sends through a socket later. */
enum { NOTIFY_COOKIE_SIZE = 32 };

int64_t call_mq_notify(struct thread *t, const struct sysargs *args)
{
    struct sigevent event;
    if (!args->a[1])
        return host_call(t, SYS_mq_notify, (int)args->a[0], NULL);
    if (copy_from_guest(t, &event, args->a[1], sizeof event))
        return -EFAULT;
    if (event.sigev_notify == SIGEV_THREAD)
        event.sigev_value.sival_ptr =
            guest_pointer(t, (uint64_t)event.sigev_value.sival_ptr, NOTIFY_COOKIE_SIZE);
    return host_call(t, SYS_mq_notify, (int)args->a[0], &event);
}
