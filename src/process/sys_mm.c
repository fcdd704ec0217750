/* Memory: the address space (mm.h) does the work. */
#include "process/serve.h"

#include <sys/mman.h>

#include <string.h>

/* Flags that only x86-64 has; elsewhere their bits mean nothing. */
#define X86_MAP_FLAGS (0x40 /* MAP_32BIT */ | 0x80 /* MAP_ABOVE4G */)

int64_t call_mmap(struct thread *t, const struct sysargs *args)
{
    int flags = (int)args->a[3];
    if ((flags & MAP_TYPE) == MAP_SHARED_VALIDATE && flags & X86_MAP_FLAGS)
        return -EOPNOTSUPP;
    return mm_mmap(t->process->mm, args->a[0], args->a[1], (int)args->a[2], flags & ~X86_MAP_FLAGS,
                   (int)args->a[4], args->a[5]);
}

int64_t call_munmap(struct thread *t, const struct sysargs *args)
{
    return mm_munmap(t->process->mm, args->a[0], args->a[1]);
}

int64_t call_mprotect(struct thread *t, const struct sysargs *args)
{
    return mm_mprotect(t->process->mm, args->a[0], args->a[1], (int)args->a[2]);
}

int64_t call_mremap(struct thread *t, const struct sysargs *args)
{
    return mm_mremap(t->process->mm, args->a[0], args->a[1], args->a[2], (int)args->a[3], args->a[4]);
}

int64_t call_brk(struct thread *t, const struct sysargs *args)
{
    return mm_brk(t->process->mm, args->a[0]);
}

int64_t call_madvise(struct thread *t, const struct sysargs *args)
{
    return mm_madvise(t->process->mm, args->a[0], args->a[1], (int)args->a[2]);
}

int64_t call_mincore(struct thread *t, const struct sysargs *args)
{
    return mm_mincore(t->process->mm, args->a[0], args->a[1], args->a[2]);
}

int64_t call_msync(struct thread *t, const struct sysargs *args)
{
    return mm_msync(t->process->mm, args->a[0], args->a[1], (int)args->a[2]);
}

int64_t call_mlock(struct thread *t, const struct sysargs *args)
{
    return mm_mlock(t->process->mm, args->a[0], args->a[1], 0);
}

int64_t call_mlock2(struct thread *t, const struct sysargs *args)
{
    return mm_mlock(t->process->mm, args->a[0], args->a[1], (int)args->a[2]);
}

int64_t call_munlock(struct thread *t, const struct sysargs *args)
{
    return mm_munlock(t->process->mm, args->a[0], args->a[1]);
}

int64_t call_mlockall(struct thread *t, const struct sysargs *args)
{
    return mm_mlockall(t->process->mm, (int)args->a[0]);
}

int64_t call_munlockall(struct thread *t, const struct sysargs *args)
{
    (void)args;
    return mm_munlockall(t->process->mm);
}

int64_t call_shmat(struct thread *t, const struct sysargs *args)
{
    return mm_shmat(t->process->mm, (int)args->a[0], args->a[1], (int)args->a[2]);
}

int64_t call_shmdt(struct thread *t, const struct sysargs *args)
{
    return mm_shmdt(t->process->mm, args->a[0]);
}

int64_t call_mseal(struct thread *t, const struct sysargs *args)
{
    uint64_t start = args->a[0], length = args->a[1];
    if (args->a[2] || start % MM_PAGE || length > UINT64_MAX - MM_PAGE)
        return -EINVAL;
    length = ALIGN_UP(length, MM_PAGE);
    if (!length)
        return 0;
    if (!mm_check(t->process->mm, start, length, PROT_NONE))
        return -ENOMEM;
    return host_call_now(HOST_MSEAL, guest_pointer(t, start, length), length, 0);
}

/* A guest's address stands for the same memory in every guest, so the arrays are copied in steps and translated. */
int64_t call_move_pages(struct thread *t, const struct sysargs *args)
{
    enum { STEP = 256 };
    uint64_t count = args->a[1], pages = args->a[2], nodes = args->a[3], status = args->a[4];
    int64_t left = 0;
    if (count > (uint64_t)INT32_MAX)
        return -E2BIG;
    for (uint64_t done = 0; done < count; done += STEP) {
        uint64_t page[STEP], n = MIN(count - done, (uint64_t)STEP);
        if (copy_from_guest(t, page, pages + done * sizeof *page, n * sizeof *page))
            return -EFAULT;
        for (uint64_t i = 0; i < n; i++)
            page[i] = (uint64_t)guest_pointer(t, page[i], 1);
        int64_t result = host_call_now(SYS_move_pages, args->a[0], n, page,
                                       nodes ? guest_pointer(t, nodes + done * 4, n * 4) : NULL,
                                       guest_pointer(t, status + done * 4, n * 4), args->a[5]);
        if (result < 0)
            return result;
        left += result;
    }
    return left;
}

/* Only advice that changes nothing of what memory holds is given to another process. */
int64_t call_process_madvise(struct thread *t, const struct sysargs *args)
{
    struct iovec vector[VECTOR_MAX];
    switch ((int)args->a[3]) {
    case MADV_WILLNEED:
    case MADV_COLD:
    case MADV_PAGEOUT:
    case 25 /* MADV_COLLAPSE */: break;
    default: return -EINVAL;
    }
    int error = vector_from_guest(t, args->a[1], args->a[2], vector);
    if (error)
        return error;
    return host_call(t, SYS_process_madvise, (int)args->a[0], vector, args->a[2], (int)args->a[3],
                     args->a[4]);
}
