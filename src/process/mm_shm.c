/* System V shared memory. A region remembers where its segment was attached, so that shmdt() finds what is left of it;
 * unmapping detaches, so the host's shmdt() is not needed. */
#include "process/mm_internal.h"

#include "base/util.h"

#include <sys/shm.h>

#define SHM_ALIGN MM_PAGE /* SHMLBA of riscv */

static int shm_prot(int flags)
{
    return PROT_READ | (flags & SHM_RDONLY ? 0 : PROT_WRITE) | (flags & SHM_EXEC ? PROT_EXEC : 0);
}

static int64_t shm_address(struct mm *mm, uint64_t address, uint64_t length, int flags)
{
    if (!address) {
        uint64_t at = flags & SHM_REMAP ? 0 : mm_find_room(mm, 0, length, SHM_ALIGN);
        return at ? (int64_t)at : flags & SHM_REMAP ? -EINVAL : -ENOMEM;
    }
    if (!mm_range_ok(mm, address, length))
        return -EINVAL;
    if (address < mm->low)
        return -EPERM;
    const struct mm_region *next = regions_find(&mm->regions, address);
    if (!(flags & SHM_REMAP) && next && next->start < address + length)
        return -EINVAL;
    return (int64_t)address;
}

static int64_t attach(struct mm *mm, int id, uint64_t at, uint64_t length, int flags)
{
    struct mm_region region = {
        .start = at, .end = at + length, .prot = shm_prot(flags), .shared = true, .attached = at};
    if (!regions_reserve(&mm->regions, 3) || !mm_may_map(mm, &region))
        return -ENOMEM;
    bool replace = mm->reserved || !regions_free(&mm->regions, at, at + length);
    int host_flags = (flags & SHM_RDONLY) | (replace ? SHM_REMAP : 0);
    if (shmat(id, mm_host(mm, at), host_flags) == (void *)-1) {
        int error = errno;
        mm_recover(mm, at, at + length);
        return -error;
    }
    mm_mapped(mm, &region);
    return (int64_t)at;
}

int64_t mm_shmat(struct mm *mm, int id, uint64_t address, int flags)
{
    struct shmid_ds info;
    if (address % SHM_ALIGN) {
        if (!(flags & SHM_RND))
            return -EINVAL;
        address = ALIGN_DOWN(address, SHM_ALIGN);
        if (!address && (flags & SHM_REMAP))
            return -EINVAL;
    }
    if (shmctl(id, IPC_STAT, &info))
        return -errno;
    if (info.shm_segsz > mm->limit)
        return -ENOMEM;
    uint64_t length = ALIGN_UP((uint64_t)info.shm_segsz, MM_PAGE);
    mm_lock_change(mm, address, address + length);
    int64_t at = shm_address(mm, address, length, flags);
    bool executable = false;
    if (at >= 0) {
        executable = (flags & SHM_EXEC) || mm_any_executable(mm, (uint64_t)at, (uint64_t)at + length);
        at = attach(mm, id, (uint64_t)at, length, flags);
    }
    mm_unlock_changed(mm, executable && at >= 0, (uint64_t)at, (uint64_t)at + length);
    return at;
}

int64_t mm_shmdt(struct mm *mm, uint64_t address)
{
    if (address % MM_PAGE)
        return -EINVAL;
    int64_t status = -EINVAL;
    bool executable = false;
    uint64_t at = address;
    const struct mm_region *r;
    pthread_mutex_lock(&mm->lock);
    while (address && (r = regions_find(&mm->regions, at))) {
        struct mm_region piece = *r;
        at = piece.end;
        if (piece.attached == address) {
            executable |= piece.prot & PROT_EXEC;
            status = mm_unmap(mm, piece.start, piece.end);
        }
    }
    mm_unlock_changed(mm, executable, address, at);
    return status;
}
