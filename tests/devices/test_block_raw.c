/* Raw images on real files. */
#include "base/util.h"
#include "block/raw.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { LENGTH = 1 << 20, REQUESTS = 64 };

struct fixture {
    char path[64];
    int fd;
    struct block *block;
    struct guise_error err;
};

static int start(void **state)
{
    static struct fixture f;
    *state = &f;
    strcpy(f.path, "/tmp/guise-raw-XXXXXX");
    f.fd = mkstemp(f.path);
    assert_true(f.fd >= 0);
    assert_int_equal(ftruncate(f.fd, LENGTH), 0);
    assert_int_equal(block_raw_open(&f.block, f.path, false, &f.err), 0);
    return 0;
}

static int stop(void **state)
{
    struct fixture *f = *state;
    if (f->block)
        block_release(f->block);
    close(f->fd);
    unlink(f->path);
    return 0;
}

struct tracked {
    struct block_request request;
    struct iovec iov[2];
    _Atomic int result;
};

static void on_done(struct block_request *request, int result)
{
    ((struct tracked *)request)->result = result;
}

static void submit(struct fixture *f, struct tracked *t)
{
    t->request.done = on_done;
    t->result = BLOCK_PENDING;
    int result = block_submit(f->block, &t->request);
    if (result != BLOCK_PENDING)
        t->result = result;
}

static int carry_out(struct fixture *f, struct block_request request)
{
    struct tracked t = {.request = request};
    submit(f, &t);
    block_drain(f->block);
    return t.result;
}

static int transfer(struct fixture *f, enum block_kind kind, void *data, size_t length, uint64_t offset)
{
    struct iovec iov = {data, length};
    return carry_out(f, (struct block_request){
                            .kind = kind, .offset = offset, .length = length, .iov = &iov, .iov_count = 1});
}

static void what_is_written_is_in_the_file(void **state)
{
    struct fixture *f = *state;
    char data[1000], back[1000];
    memset(data, 'x', sizeof(data));
    assert_int_equal(f->block->length, LENGTH);
    assert_int_equal(transfer(f, BLOCK_WRITE, data, sizeof(data), 12345), 0);
    assert_int_equal(pread(f->fd, back, sizeof(back), 12345), sizeof(back));
    assert_memory_equal(data, back, sizeof(back));
    memset(back, 0, sizeof(back));
    assert_int_equal(transfer(f, BLOCK_READ, back, sizeof(back), 12345), 0);
    assert_memory_equal(data, back, sizeof(back));
    assert_int_equal(carry_out(f, (struct block_request){.kind = BLOCK_FLUSH}), 0);
}

static void many_requests_are_under_way(void **state)
{
    struct fixture *f = *state;
    static struct tracked t[REQUESTS];
    static uint8_t data[REQUESTS][8192], back[LENGTH];
    for (unsigned i = 0; i < REQUESTS; i++) {
        memset(data[i], (int)i + 1, sizeof(data[i]));
        t[i].iov[0] = (struct iovec){data[i], 1000};
        t[i].iov[1] = (struct iovec){data[i] + 1000, 7192};
        t[i].request = (struct block_request){.kind = BLOCK_WRITE,
                                              .durable = i % 16 == 0,
                                              .offset = i * 8192,
                                              .length = 8192,
                                              .iov = t[i].iov,
                                              .iov_count = 2};
        submit(f, &t[i]);
    }
    block_drain(f->block);
    assert_int_equal(pread(f->fd, back, REQUESTS * 8192, 0), REQUESTS * 8192);
    for (unsigned i = 0; i < REQUESTS; i++) {
        assert_int_equal(t[i].result, 0);
        assert_memory_equal(back + i * 8192, data[i], 8192);
    }
}

static void zeroes_and_discards_reach_the_file(void **state)
{
    struct fixture *f = *state;
    static char data[131072], back[131072];
    for (unsigned unmap = 0; unmap < 2; unmap++) {
        memset(data, 'x', sizeof(data));
        assert_int_equal(transfer(f, BLOCK_WRITE, data, sizeof(data), 0), 0);
        assert_int_equal(carry_out(f, (struct block_request){.kind = BLOCK_ZERO,
                                                             .unmap = unmap,
                                                             .durable = true,
                                                             .offset = 512,
                                                             .length = 100000}),
                         0);
        assert_int_equal(pread(f->fd, back, sizeof(back), 0), sizeof(back));
        memset(data + 512, 0, 100000);
        assert_memory_equal(data, back, sizeof(back));
    }
    assert_int_equal(
        carry_out(f, (struct block_request){.kind = BLOCK_DISCARD, .offset = 0, .length = LENGTH}), 0);
    assert_int_equal(lseek(f->fd, 0, SEEK_END), LENGTH);
}

/* The file became shorter: the host has not what the guest asks for. */
static void what_is_missing_is_an_error(void **state)
{
    struct fixture *f = *state;
    char data[1024];
    assert_int_equal(ftruncate(f->fd, LENGTH - 512), 0);
    assert_int_equal(transfer(f, BLOCK_READ, data, sizeof(data), LENGTH - 1024), -EIO);
    assert_int_equal(transfer(f, BLOCK_READ, data, 512, LENGTH - 1024), 0);
}

static void an_image_has_one_writer(void **state)
{
    struct fixture *f = *state;
    struct block *other = NULL, *third = NULL;
    assert_int_equal(block_raw_open(&other, f->path, false, &f->err), GUISE_E_CONFIG);
    assert_non_null(strstr(f->err.text, "in use"));
    assert_int_equal(block_raw_open(&other, f->path, true, &f->err), GUISE_E_CONFIG);
    block_release(f->block);
    f->block = NULL;
    assert_int_equal(block_raw_open(&other, f->path, true, &f->err), 0);
    assert_int_equal(block_raw_open(&third, f->path, true, &f->err), 0);
    assert_true(other->read_only);
    assert_int_equal(block_raw_open(&f->block, f->path, false, &f->err), GUISE_E_CONFIG);
    block_release(other);
    block_release(third);
    assert_int_equal(block_raw_open(&f->block, f->path, false, &f->err), 0);
}

static void what_is_no_disk_is_refused(void **state)
{
    struct fixture *f = *state;
    struct block *other = NULL;
    assert_int_equal(block_raw_open(&other, "/nonexistent/disk", false, &f->err), GUISE_E_IO);
    assert_non_null(strstr(f->err.text, "/nonexistent/disk"));
    assert_int_equal(block_raw_open(&other, "/tmp", true, &f->err), GUISE_E_CONFIG);
    assert_int_equal(block_raw_open(&other, "/dev/null", true, &f->err), GUISE_E_CONFIG);
    block_release(f->block);
    f->block = NULL;
    assert_int_equal(ftruncate(f->fd, 511), 0);
    assert_int_equal(block_raw_open(&other, f->path, true, &f->err), GUISE_E_CONFIG);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_is_in_the_file),
        TEST(many_requests_are_under_way),
        TEST(zeroes_and_discards_reach_the_file),
        TEST(what_is_missing_is_an_error),
        TEST(an_image_has_one_writer),
        TEST(what_is_no_disk_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
