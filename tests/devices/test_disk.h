/* A disk in memory that a test plays: it does requests at once, or keeps them until the test does them in its order and
 * with its results. Include after cmocka.h (or what stands for its assertions). */
#ifndef TESTS_TEST_DISK_H
#define TESTS_TEST_DISK_H

#include "block/block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TEST_DISK_LENGTH = 65536, TEST_DISK_PENDING = 256 };

struct test_disk {
    struct block block;
    bool keeps; /* requests, for test_disk_finish() */
    int result; /* of what is done at once */
    uint8_t data[TEST_DISK_LENGTH];
    struct block_request *pending[TEST_DISK_PENDING];
    unsigned count;
    unsigned flushes, discards, zeroes, durable; /* ever done */
};

static inline void test_disk_copy(struct test_disk *d, const struct block_request *r)
{
    uint8_t *at = d->data + r->offset;
    for (unsigned i = 0; i < r->iov_count; at += r->iov[i++].iov_len)
        if (r->kind == BLOCK_READ)
            memcpy(r->iov[i].iov_base, at, r->iov[i].iov_len);
        else
            memcpy(at, r->iov[i].iov_base, r->iov[i].iov_len);
}

/* The device has checked what the guest asked for. */
static inline void test_disk_check(const struct test_disk *d, const struct block_request *r)
{
    uint64_t length = 0;
    for (unsigned i = 0; i < r->iov_count; i++)
        length += r->iov[i].iov_len;
    if (r->kind == BLOCK_READ || r->kind == BLOCK_WRITE)
        assert_int_equal(length, r->length);
    assert_true(r->offset <= TEST_DISK_LENGTH && r->length <= TEST_DISK_LENGTH - r->offset);
    assert_true(!d->block.read_only || r->kind == BLOCK_READ || r->kind == BLOCK_FLUSH);
}

static inline void test_disk_do(struct test_disk *d, const struct block_request *r)
{
    d->durable += r->durable;
    switch (r->kind) {
    case BLOCK_READ:
    case BLOCK_WRITE: test_disk_copy(d, r); break;
    case BLOCK_FLUSH: d->flushes++; break;
    case BLOCK_DISCARD: d->discards++; break;
    case BLOCK_ZERO:
        memset(d->data + r->offset, 0, r->length);
        d->zeroes++;
        break;
    }
}

static inline int test_disk_submit(struct block *block, struct block_request *r)
{
    struct test_disk *d = (struct test_disk *)block;
    test_disk_check(d, r);
    if (d->keeps) {
        assert_true(d->count < TEST_DISK_PENDING);
        d->pending[d->count++] = r;
        return BLOCK_PENDING;
    }
    if (!d->result)
        test_disk_do(d, r);
    return d->result;
}

/* Does a pending request, with a result. */
static inline void test_disk_finish(struct test_disk *d, unsigned index, int result)
{
    struct block_request *r = d->pending[index];
    d->pending[index] = d->pending[--d->count];
    if (!result)
        test_disk_do(d, r);
    r->done(r, result);
}

static inline void test_disk_drain(struct block *block)
{
    struct test_disk *d = (struct test_disk *)block;
    while (d->count)
        test_disk_finish(d, 0, 0);
}

static inline void test_disk_init(struct test_disk *d)
{
    static const struct block_ops ops = {.submit = test_disk_submit, .drain = test_disk_drain};
    *d = (struct test_disk){.block = {.ops = &ops, .length = TEST_DISK_LENGTH + 511}};
    for (unsigned i = 0; i < TEST_DISK_LENGTH; i++)
        d->data[i] = (uint8_t)(i / 512 + i) | 1;
}

#endif
