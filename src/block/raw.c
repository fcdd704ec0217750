#include "block/raw.h"

#include "base/error.h"
#include "base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_THREADS = 8, SECTOR = 512 };

struct raw {
    struct block block;
    int fd;
    atomic_bool flush_failed;

    pthread_mutex_t lock; /* of all below */
    pthread_cond_t work;  /* for threads: there is a request, or they are to end */
    pthread_cond_t idle;  /* for who drains: nothing is under way */
    struct block_request *first, **last;
    unsigned under_way; /* requests submitted and not done */
    unsigned waiting;   /* threads without work */
    unsigned thread_count;
    pthread_t threads[MAX_THREADS];
    bool stop;
};

/* ---- Transfers ---- */

static ssize_t transfer_one(const struct raw *d, const struct block_request *r, void *at, size_t length,
                            uint64_t offset)
{
    ssize_t n;
    do
        n = r->kind == BLOCK_READ ? pread(d->fd, at, length, (off_t)offset)
                                  : pwrite(d->fd, at, length, (off_t)offset);
    while (n < 0 && errno == EINTR);
    return n ? n : (errno = EIO, -1);
}

/* What is left of a transfer of which `done` bytes were done, piece by piece. */
static int transfer_rest(const struct raw *d, const struct block_request *r, size_t done)
{
    uint64_t offset = r->offset;
    for (unsigned i = 0; i < r->iov_count; offset += r->iov[i++].iov_len) {
        size_t skip = MIN(done, r->iov[i].iov_len);
        for (done -= skip; skip < r->iov[i].iov_len;) {
            ssize_t n = transfer_one(d, r, (char *)r->iov[i].iov_base + skip, r->iov[i].iov_len - skip,
                                     offset + skip);
            if (n < 0)
                return -errno;
            skip += (size_t)n;
        }
    }
    return r->durable && fdatasync(d->fd) ? -errno : 0;
}

static int transfer(const struct raw *d, const struct block_request *r)
{
    ssize_t n;
    if (r->kind == BLOCK_READ)
        n = preadv(d->fd, r->iov, (int)r->iov_count, (off_t)r->offset);
    else
        n = pwritev2(d->fd, r->iov, (int)r->iov_count, (off_t)r->offset, r->durable ? RWF_DSYNC : 0);
    if (n < 0 && errno != EINTR)
        return -errno;
    return n >= 0 && (uint64_t)n == r->length ? 0 : transfer_rest(d, r, n < 0 ? 0 : (size_t)n);
}

/* Of the host's memory alone. */
static bool read_at_once(const struct raw *d, const struct block_request *r)
{
    return r->kind == BLOCK_READ &&
           preadv2(d->fd, r->iov, (int)r->iov_count, (off_t)r->offset, RWF_NOWAIT) == (ssize_t)r->length;
}

/* ---- Other requests ---- */

static int flush(struct raw *d)
{
    if (fdatasync(d->fd))
        atomic_store(&d->flush_failed, true);
    return atomic_load(&d->flush_failed) ? -EIO : 0;
}

static int punch(const struct raw *d, const struct block_request *r)
{
    int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    return fallocate(d->fd, mode, (off_t)r->offset, (off_t)r->length) ? -errno : 0;
}

static int discard(const struct raw *d, const struct block_request *r)
{
    int result = punch(d, r);
    return result == -EOPNOTSUPP ? 0 : result;
}

static int write_zeroes(const struct raw *d, const struct block_request *r)
{
    static const char zeroes[65536];
    struct block_request part = {.kind = BLOCK_WRITE};
    uint64_t done = 0;
    while (done < r->length) {
        struct iovec iov = {(void *)(uintptr_t)zeroes, MIN(sizeof(zeroes), r->length - done)};
        part.iov = &iov;
        part.iov_count = 1;
        part.offset = r->offset + done;
        part.length = iov.iov_len;
        int result = transfer(d, &part);
        if (result)
            return result;
        done += part.length;
    }
    return 0;
}

static int zero(struct raw *d, const struct block_request *r)
{
    int result = -EOPNOTSUPP;
    if (r->unmap)
        result = punch(d, r);
    if (result == -EOPNOTSUPP &&
        fallocate(d->fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, (off_t)r->offset, (off_t)r->length) == 0)
        result = 0;
    if (result == -EOPNOTSUPP)
        result = write_zeroes(d, r);
    return !result && r->durable ? flush(d) : result;
}

static int carry_out(struct raw *d, const struct block_request *r)
{
    switch (r->kind) {
    case BLOCK_READ:
    case BLOCK_WRITE: return transfer(d, r);
    case BLOCK_FLUSH: return flush(d);
    case BLOCK_DISCARD: return discard(d, r);
    case BLOCK_ZERO: return zero(d, r);
    }
    return -EINVAL;
}

/* ---- Threads ---- */

static struct block_request *take(struct raw *d)
{
    d->waiting++;
    while (!d->first && !d->stop)
        pthread_cond_wait(&d->work, &d->lock);
    d->waiting--;
    struct block_request *r = d->first;
    if (r && !(d->first = r->next))
        d->last = &d->first;
    return r;
}

static void *serve(void *object)
{
    struct raw *d = object;
    struct block_request *r;
    pthread_mutex_lock(&d->lock);
    while ((r = take(d))) {
        pthread_mutex_unlock(&d->lock);
        int result = carry_out(d, r);
        r->done(r, result);
        pthread_mutex_lock(&d->lock);
        if (!--d->under_way)
            pthread_cond_broadcast(&d->idle);
    }
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

/* Signals are for other threads. Returns an errno value. */
static int add_thread(struct raw *d)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int error = pthread_create(&d->threads[d->thread_count], NULL, serve, d);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    d->thread_count += !error;
    return error;
}

static int submit(struct block *block, struct block_request *r)
{
    struct raw *d = (struct raw *)block;
    if (read_at_once(d, r))
        return 0;
    pthread_mutex_lock(&d->lock);
    r->next = NULL;
    *d->last = r;
    d->last = &r->next;
    d->under_way++;
    if (d->waiting)
        pthread_cond_signal(&d->work);
    if (d->under_way > d->thread_count && d->thread_count < MAX_THREADS)
        add_thread(d);
    pthread_mutex_unlock(&d->lock);
    return BLOCK_PENDING;
}

static void drain(struct block *block)
{
    struct raw *d = (struct raw *)block;
    pthread_mutex_lock(&d->lock);
    while (d->under_way)
        pthread_cond_wait(&d->idle, &d->lock);
    pthread_mutex_unlock(&d->lock);
}

/* ---- Life ---- */

static void release(struct block *block)
{
    struct raw *d = (struct raw *)block;
    pthread_mutex_lock(&d->lock);
    d->stop = true;
    pthread_cond_broadcast(&d->work);
    pthread_mutex_unlock(&d->lock);
    for (unsigned i = 0; i < d->thread_count; i++)
        pthread_join(d->threads[i], NULL);
    pthread_cond_destroy(&d->work);
    pthread_cond_destroy(&d->idle);
    pthread_mutex_destroy(&d->lock);
    if (d->fd >= 0)
        close(d->fd);
    free(d);
}

static const struct block_ops ops = {.submit = submit, .drain = drain, .release = release};

static int measure(struct raw *d, const char *path, struct guise_error *err)
{
    struct stat st;
    if (fstat(d->fd, &st))
        return error_set_errno(err, GUISE_E_IO, errno, "disk image %s", path);
    if (S_ISREG(st.st_mode))
        d->block.length = (uint64_t)st.st_size;
    else if (!S_ISBLK(st.st_mode) || ioctl(d->fd, BLKGETSIZE64, &d->block.length))
        return error_set(err, GUISE_E_CONFIG, "%s is neither a disk image nor a block device", path);
    if (d->block.length < SECTOR)
        return error_set(err, GUISE_E_CONFIG, "disk image %s is empty: a disk has %d bytes or more", path,
                         SECTOR);
    return 0;
}

/* Of the open file description, so that another VM of the same process is kept out too. */
static int lock_image(const struct raw *d, const char *path, struct guise_error *err)
{
    struct flock lock = {.l_type = d->block.read_only ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(d->fd, F_OFD_SETLK, &lock) == 0 || (errno != EAGAIN && errno != EACCES))
        return 0;
    return error_set(err, GUISE_E_CONFIG, "disk image %s is in use by another VM%s", path,
                     d->block.read_only ? "" : "; several can share it read-only");
}

static int open_image(struct raw *d, const char *path, struct guise_error *err)
{
    d->fd = open(path, (d->block.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (d->fd < 0)
        return error_set_errno(err, GUISE_E_IO, errno, "disk image %s", path);
    int status = measure(d, path, err);
    if (!status)
        status = lock_image(d, path, err);
    int error = status ? 0 : add_thread(d);
    return error ? error_set_errno(err, GUISE_E_SYSTEM, error, "a thread for disk image %s", path) : status;
}

int block_raw_open(struct block **block, const char *path, bool read_only, struct guise_error *err)
{
    struct raw *d = calloc(1, sizeof(*d));
    if (!d)
        return error_set(err, GUISE_E_NOMEM, "disk image %s", path);
    *d = (struct raw){.block = {.ops = &ops, .read_only = read_only}, .fd = -1, .last = &d->first};
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->work, NULL);
    pthread_cond_init(&d->idle, NULL);
    int status = open_image(d, path, err);
    if (status)
        release(&d->block);
    else
        *block = &d->block;
    return status;
}
