/* Structures of the system call interface that riscv64 lays out otherwise than x86-64.
 * Source: linux/include/uapi/asm-generic/{stat,sembuf}.h, linux/eventpoll.h. */
#ifndef PROCESS_GUEST_ABI_H
#define PROCESS_GUEST_ABI_H

#include <stdint.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/stat.h>

struct guest_stat {
    uint64_t dev, ino;
    uint32_t mode, nlink, uid, gid;
    uint64_t rdev, pad1;
    int64_t size;
    int32_t blksize, pad2;
    int64_t blocks;
    int64_t atime;
    uint64_t atime_nsec;
    int64_t mtime;
    uint64_t mtime_nsec;
    int64_t ctime;
    uint64_t ctime_nsec;
    uint32_t unused[2];
};
_Static_assert(sizeof(struct guest_stat) == 128, "struct stat of riscv64");

static inline struct guest_stat guest_stat(const struct stat *s)
{
    return (struct guest_stat){
        .dev = s->st_dev,
        .ino = s->st_ino,
        .mode = s->st_mode,
        .nlink = (uint32_t)s->st_nlink,
        .uid = s->st_uid,
        .gid = s->st_gid,
        .rdev = s->st_rdev,
        .size = s->st_size,
        .blksize = (int32_t)s->st_blksize,
        .blocks = s->st_blocks,
        .atime = s->st_atim.tv_sec,
        .atime_nsec = (uint64_t)s->st_atim.tv_nsec,
        .mtime = s->st_mtim.tv_sec,
        .mtime_nsec = (uint64_t)s->st_mtim.tv_nsec,
        .ctime = s->st_ctim.tv_sec,
        .ctime_nsec = (uint64_t)s->st_ctim.tv_nsec,
    };
}

/* x86-64 packs it into 12 bytes. */
struct guest_epoll_event {
    uint32_t events, pad;
    uint64_t data;
};
_Static_assert(sizeof(struct guest_epoll_event) == 16, "struct epoll_event of riscv64");
_Static_assert(sizeof(struct epoll_event) == 12, "struct epoll_event of x86-64");

static inline struct guest_epoll_event guest_epoll_event(const struct epoll_event *e)
{
    return (struct guest_epoll_event){.events = e->events, .data = e->data.u64};
}

static inline struct epoll_event host_epoll_event(const struct guest_epoll_event *e)
{
    return (struct epoll_event){.events = e->events, .data.u64 = e->data};
}

/* x86-64 has a word of padding after each time. */
struct guest_semid_ds {
    struct ipc_perm perm;
    int64_t otime, ctime;
    uint64_t nsems, unused[2];
};
_Static_assert(sizeof(struct guest_semid_ds) == 88, "struct semid64_ds of riscv64");

static inline struct guest_semid_ds guest_semid_ds(const struct semid_ds *s)
{
    return (struct guest_semid_ds){
        .perm = s->sem_perm, .otime = s->sem_otime, .ctime = s->sem_ctime, .nsems = s->sem_nsems};
}

static inline struct semid_ds host_semid_ds(const struct guest_semid_ds *s)
{
    return (struct semid_ds){
        .sem_perm = s->perm, .sem_otime = s->otime, .sem_ctime = s->ctime, .sem_nsems = s->nsems};
}

#endif
