/* Loading programs: where everything goes, and a clear message for everything that is wrong. */
#include "mm_fixture.h"

#include "elf_sample.h"
#include "process/elf.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define ADDRESS ((uint64_t)0x10000)

static int file_of(const void *bytes, size_t size)
{
    int fd = memfd_create("program", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    return fd;
}

static int load_bytes(struct mm *mm, const void *bytes, size_t size, struct elf_image *image,
                      struct guise_error *err)
{
    int fd = file_of(bytes, size);
    int status = elf_load(mm, fd, "./prog", -1, NULL, image, err);
    close(fd);
    return status;
}

static void expect_error(struct mm *mm, const struct elf_sample *s, const char *text)
{
    struct elf_image image;
    struct guise_error err = {0};
    int status = load_bytes(mm, s, sizeof(*s), &image, &err);
    assert_string_equal(err.text, text);
    assert_int_equal(status, err.code);
    assert_true(status < 0);
}

/* ---- What is right ---- */

static void check_contents(struct mm *mm, uint64_t base)
{
    char bytes[SAMPLE_BSS];
    assert_int_equal(mm_read(mm, bytes, base + SAMPLE_DATA_AT, SAMPLE_DATA_SIZE), 0);
    assert_int_equal(bytes[0], 'd');
    assert_int_equal(bytes[SAMPLE_DATA_SIZE - 1], 'd');
    assert_int_equal(mm_read(mm, bytes, base + SAMPLE_DATA_AT + SAMPLE_DATA_SIZE, SAMPLE_BSS), 0);
    for (size_t i = 0; i < SAMPLE_BSS; i++)
        assert_int_equal(bytes[i], 0);
    assert_true(mm_check(mm, base, SAMPLE_DATA, PROT_READ | PROT_EXEC));
    assert_false(mm_check(mm, base, SAMPLE_DATA, PROT_WRITE));
    assert_true(mm_check(mm, base + SAMPLE_DATA_AT, SAMPLE_DATA_SIZE + SAMPLE_BSS, PROT_READ | PROT_WRITE));
}

static void loads_at_its_address(void **state)
{
    struct mm *mm = enter(state);
    struct elf_sample s;
    struct elf_image image;
    elf_sample_make(&s, ET_EXEC, ADDRESS, NULL);
    assert_int_equal(load_bytes(mm, &s, sizeof(s), &image, NULL), 0);
    check_contents(mm, ADDRESS);
    assert_int_equal(image.entry, ADDRESS + SAMPLE_ENTRY);
    assert_int_equal(image.program_entry, image.entry);
    assert_int_equal(image.base, 0);
    assert_int_equal(image.phdr, ADDRESS + sizeof(Elf64_Ehdr));
    assert_int_equal(image.phnum, SAMPLE_SEGMENTS);
    assert_int_equal(image.start_code, ADDRESS);
    assert_int_equal(image.end_code, ADDRESS + SAMPLE_DATA);
    assert_int_equal(image.brk % MM_PAGE, 0);
    assert_true(image.brk >= ADDRESS + SAMPLE_DATA_AT + SAMPLE_DATA_SIZE + SAMPLE_BSS);
    assert_false(image.executable_stack);
    struct guise_error err;
    assert_int_equal(load_bytes(mm, &s, sizeof(s), &image, &err), GUISE_E_EXEC); /* its place is taken */
}

static void loads_anywhere_aligned(void **state)
{
    struct mm *mm = enter(state);
    struct elf_sample s;
    struct elf_image image;
    elf_sample_make(&s, ET_DYN, 0, NULL);
    s.segments[SAMPLE_LOAD_TEXT].p_align = 1 << 21;
    s.segments[SAMPLE_STACK].p_type = PT_NULL;
    assert_int_equal(load_bytes(mm, &s, sizeof(s), &image, NULL), 0);
    assert_int_equal(image.start_code % (1 << 21), 0);
    assert_true(image.executable_stack);
    check_contents(mm, image.start_code);
}

static void loads_its_loader(void **state)
{
    struct mm *mm = enter(state);
    struct elf_sample s;
    struct elf_image image;
    char directory[] = "/tmp/guise-test-XXXXXX", path[64];
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/real", directory);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755), root = open(directory, O_PATH | O_CLOEXEC);
    elf_sample_make(&s, ET_DYN, 0, NULL);
    assert_int_equal(write(fd, &s, sizeof(s)), sizeof(s));
    close(fd);
    assert_int_equal(symlinkat("/real", root, "ld.so"), 0); /* absolute: inside the sysroot */

    elf_sample_make(&s, ET_DYN, 0, "/ld.so");
    fd = file_of(&s, sizeof(s));
    assert_int_equal(elf_load(mm, fd, "./prog", root, directory, &image, NULL), 0);
    check_contents(mm, image.base);
    check_contents(mm, image.start_code);
    assert_int_equal(image.entry, image.base + SAMPLE_ENTRY);
    assert_int_equal(image.program_entry, image.start_code + SAMPLE_ENTRY);
    assert_int_not_equal(image.base, image.start_code);
    close(fd);
    unlinkat(root, "ld.so", 0);
    unlinkat(root, "real", 0);
    close(root);
    rmdir(directory);
}

/* ---- What is wrong ---- */

static void names_other_machines(void **state)
{
    struct mm *mm = enter(state);
    struct elf_sample s;
    char why[80];
    elf_sample_make(&s, ET_EXEC, ADDRESS, NULL);
    s.header.e_machine = EM_X86_64;
    expect_error(mm, &s, "./prog: this is an x86-64 program; run it directly");
    s.header.e_machine = EM_AARCH64;
    expect_error(mm, &s,
                 "./prog: this is an AArch64 program; Guise runs 64-bit little-endian RISC-V programs");
    s.header.e_machine = 9999;
    expect_error(mm, &s,
                 "./prog: this is a program for another machine (ELF machine number 9999); Guise runs 64-bit "
                 "little-endian RISC-V programs");
    s.header.e_machine = EM_RISCV;
    s.header.e_ident[EI_CLASS] = ELFCLASS32;
    expect_error(mm, &s,
                 "./prog: this is a 32-bit RISC-V program; Guise runs 64-bit little-endian RISC-V programs");
    s.header.e_ident[EI_CLASS] = ELFCLASS64;
    s.header.e_ident[EI_DATA] = ELFDATA2MSB;
    s.header.e_machine = EM_RISCV << 8;
    expect_error(
        mm, &s,
        "./prog: this is a big-endian RISC-V program; Guise runs 64-bit little-endian RISC-V programs");

    const struct {
        const char *bytes;
        enum elf_kind kind;
    } files[] = {{"#!/bin/sh\n", ELF_SCRIPT}, {"hello", ELF_NONE}, {"", ELF_NONE}, {"\177ELF", ELF_NONE}};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        int fd = file_of(files[i].bytes, strlen(files[i].bytes));
        assert_int_equal(elf_identify(fd, why, sizeof(why)), files[i].kind);
        close(fd);
    }
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    assert_int_equal(elf_identify(fd, why, sizeof(why)), ELF_OTHER);
    assert_string_equal(why, "an x86-64 program");
    close(fd);
}

static void refuses_bad_headers(void **state)
{
    struct mm *mm = enter(state);
    struct elf_sample good, s;
    elf_sample_make(&good, ET_EXEC, ADDRESS, NULL);
#define BAD(field, value, text) (s = good, s.field = (value), expect_error(mm, &s, "./prog: " text))
    BAD(header.e_type, ET_REL, "this is an object file; link it first");
    BAD(header.e_type, ET_CORE, "this is a core dump, not a program");
    BAD(header.e_type, 77, "this ELF file is not a program");
    BAD(header.e_flags, EF_RISCV_RVE,
        "it is made for RV64E, the variant with 16 registers, which is not supported");
    BAD(header.e_flags, EF_RISCV_FLOAT_ABI_QUAD,
        "it passes quad-precision floats in registers (the Q extension), which is not supported");
    BAD(header.e_phentsize, 32, "its table of segments has a wrong size");
    BAD(header.e_phnum, 0, "its table of segments has a wrong size");
    BAD(header.e_phnum, 65535, "its table of segments has a wrong size");
    BAD(header.e_phnum, 1000, "the file is truncated");
    BAD(header.e_phoff, UINT64_MAX - 8, "the file is truncated");
    BAD(header.e_ident[0], 'x', "this is not an ELF program");
#define SEGMENT(i, field, value, text) BAD(segments[i].field, value, text)
    SEGMENT(0, p_filesz, 0x10000, "a segment is larger in the file than in memory");
    SEGMENT(1, p_offset, 0x10800, "the file is truncated: a segment lies outside of it");
    SEGMENT(1, p_offset, UINT64_MAX - 0x7ff, "the file is truncated: a segment lies outside of it");
    SEGMENT(1, p_offset, 0x1700,
            "a segment's place in the file does not fit its address (pages are 4096 bytes)");
    SEGMENT(1, p_memsz, UINT64_MAX, "a segment lies outside of the address space");
    SEGMENT(1, p_vaddr, UINT64_MAX - 0x7ff, "a segment lies outside of the address space");
    SEGMENT(1, p_vaddr, ADDRESS + 0x800, "its segments overlap or are not in ascending order");
    s = good;
    s.segments[0].p_type = s.segments[1].p_type = PT_NOTE;
    expect_error(mm, &s, "./prog: it has no segment to load");
}

static void refuses_bad_loaders(void **state)
{
    struct mm *mm = enter(state);
    struct elf_sample good, s;
    elf_sample_make(&good, ET_DYN, 0, "/no/such/ld.so");
    s = good;
    expect_error(
        mm, &s,
        "./prog: its loader /no/such/ld.so is not found; give a directory that has it with --sysroot DIR "
        "(for instance /usr/riscv64-linux-gnu)");
    s.segments[SAMPLE_INTERP].p_filesz = 4;
    expect_error(mm, &s, "./prog: the name of its loader does not end");
    s.segments[SAMPLE_INTERP].p_filesz = 1;
    expect_error(mm, &s, "./prog: the name of its loader has a wrong size");
    s.segments[SAMPLE_INTERP].p_filesz = 100;
    s.segments[SAMPLE_INTERP].p_offset = sizeof(s);
    expect_error(mm, &s, "./prog: the file is truncated");
    elf_sample_make(&s, ET_DYN, 0, "/proc/self/exe");
    expect_error(mm, &s, "./prog: its loader /proc/self/exe: this is an x86-64 program; run it directly");
    elf_sample_make(&s, ET_DYN, 0, "/");
    expect_error(mm, &s, "./prog: its loader /: is a directory");
}

static void survives_every_truncation(void **state)
{
    struct mm *mm = enter(state);
    struct elf_sample s;
    struct elf_image image;
    elf_sample_make(&s, ET_EXEC, ADDRESS, NULL);
    for (size_t size = 0; size < sizeof(s); size += size < 0x200 ? 1 : 61) {
        struct guise_error err = {0};
        assert_int_equal(load_bytes(mm, &s, size, &image, &err), GUISE_E_EXEC);
        assert_non_null(strstr(err.text, size < 4 ? "not an ELF program" : "truncated"));
    }
}

#define MM_TEST(name) cmocka_unit_test_setup_teardown(name, mm_setup, mm_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        MM_TEST(loads_at_its_address),      MM_TEST(loads_anywhere_aligned), MM_TEST(loads_its_loader),
        MM_TEST(names_other_machines),      MM_TEST(refuses_bad_headers),    MM_TEST(refuses_bad_loaders),
        MM_TEST(survives_every_truncation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
