/* Loads mutated programs. Each run maps what the file asks for and unmaps it again, so a run that broke out of the guest's
 * addresses would hit the monitor, and a leak would show.
 *
 * With libFuzzer (-DGUISE_LIBFUZZER -fsanitize=fuzzer) LLVMFuzzerTestOneInput() is all. Without it the program makes its
 * own mutations from a seed: fuzz_elf [RUNS [SEED [FILE...]]], where the files are more programs to start from. */
#include "driver.h"
#include "elf_sample.h"

#include "host/copy.h"
#include "process/elf.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_SIZE ((size_t)64 << 10)

static struct fuzz {
    struct mm *mm;
    int fd;
} fuzz;

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)info;
    if (!host_copy_fault(context))
        signal(number, SIG_DFL);
}

static void fuzz_start(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    struct guise_error err;
    if (mm_new(&fuzz.mm, 39, &err)) {
        fprintf(stderr, "fuzz_elf: %s\n", err.text);
        exit(1);
    }
    fuzz.fd = memfd_create("fuzz", MFD_CLOEXEC);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
}

/* What must hold of everything that loads. */
static void check_image(const struct elf_image *image)
{
    uint64_t limit = mm_limit(fuzz.mm);
    struct mm_region r;
    bool ok =
        image->brk % MM_PAGE == 0 && image->start_code < limit && mm_find(fuzz.mm, image->start_code, &r);
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct elf_image image;
    struct guise_error err = {0};
    if (!fuzz.mm)
        fuzz_start();
    if (size > MAX_SIZE || ftruncate(fuzz.fd, (off_t)size) || pwrite(fuzz.fd, data, size, 0) != (ssize_t)size)
        return 0;
    int status = elf_load(fuzz.mm, fuzz.fd, "fuzz", -1, NULL, &image, &err);
    if (!status)
        check_image(&image);
    else if (status != err.code || !err.text[0])
        abort();
    mm_munmap(fuzz.mm, 0, mm_limit(fuzz.mm));
    return 0;
}

#ifndef GUISE_LIBFUZZER

/* ---- Mutations ---- */

static uint64_t interesting(uint64_t *seed)
{
    static const uint64_t values[] = {0,       1,          4095,       4096,       4097,
                                      0x10000, 0x7fffffff, 0xffffffff, 1ull << 38, INT64_MAX};
    uint64_t value = values[fuzz_random(seed) % (sizeof(values) / sizeof(values[0]))];
    return fuzz_random(seed) % 2 ? value : -value;
}

/* Most changes go to the headers, where everything that is believed stands. */
static void mutate(uint8_t *bytes, size_t *size, uint64_t *seed)
{
    for (uint64_t n = 1 + fuzz_random(seed) % 4; n--;) {
        size_t range = fuzz_random(seed) % 8 ? 64 + 8 * 56 : *size;
        size_t at = fuzz_random(seed) % (range < *size ? range : *size);
        uint64_t value = fuzz_random(seed) % 2 ? interesting(seed) : fuzz_random(seed);
        size_t width = (size_t)1 << fuzz_random(seed) % 4;
        at &= ~(width - 1);
        if (fuzz_random(seed) % 3 == 0)
            bytes[at] ^= (uint8_t)(1 << value % 8);
        else if (at + width <= *size)
            memcpy(bytes + at, &value, width);
        if (fuzz_random(seed) % 64 == 0)
            *size = 1 + fuzz_random(seed) % *size;
    }
}

struct seeds {
    uint8_t *bytes[32];
    size_t sizes[32], count;
};

static void seeds_add(struct seeds *s, const void *bytes, size_t size)
{
    s->bytes[s->count] = malloc(size);
    memcpy(s->bytes[s->count], bytes, size);
    s->sizes[s->count++] = size;
}

static void seeds_add_file(struct seeds *s, const char *path)
{
    static uint8_t bytes[MAX_SIZE];
    FILE *file = fopen(path, "re");
    size_t size = file ? fread(bytes, 1, sizeof(bytes), file) : 0;
    if (file)
        fclose(file);
    if (size && s->count < 32)
        seeds_add(s, bytes, size);
}

static void run_mutated(uint64_t seed, void *context)
{
    static uint8_t bytes[MAX_SIZE];
    const struct seeds *seeds = context;
    size_t pick = fuzz_random(&seed) % seeds->count, size = seeds->sizes[pick];
    memcpy(bytes, seeds->bytes[pick], size);
    mutate(bytes, &size, &seed);
    LLVMFuzzerTestOneInput(bytes, size);
}

int main(int argc, char **argv)
{
    struct elf_sample sample;
    struct seeds seeds = {0};
    elf_sample_make(&sample, ET_EXEC, 0x10000, NULL);
    seeds_add(&seeds, &sample, sizeof(sample));
    elf_sample_make(&sample, ET_DYN, 0, NULL);
    seeds_add(&seeds, &sample, sizeof(sample));
    elf_sample_make(&sample, ET_DYN, 0, "/dev/null");
    seeds_add(&seeds, &sample, sizeof(sample));
    for (int i = 3; i < argc; i++)
        seeds_add_file(&seeds, argv[i]);
    fuzz_drive("fuzz_elf", argc, argv, run_mutated, &seeds);
    for (size_t i = 0; i < seeds.count; i++)
        free(seeds.bytes[i]);
    mm_free(fuzz.mm);
    return 0;
}

#endif
