/* Tiny riscv64 programs for tests that must not need a cross compiler: an ELF header, one segment, a few words of code. */
#ifndef TESTS_RV_PROGRAM_H
#define TESTS_RV_PROGRAM_H

#include <elf.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint32_t rv_exit_42[] = {
    0x02a00513, /* li a0, 42 */
    0x05d00893, /* li a7, 93: exit */
    0x00000073, /* ecall */
};

static const uint32_t rv_illegal[] = {0x00000000};

static const uint32_t rv_write_argv0[] = {
    0x00100513, /* li a0, 1 */
    0x00813583, /* ld a1, 8(sp): argv[0] */
    0x00500613, /* li a2, 5 */
    0x04000893, /* li a7, 64: write */
    0x00000073, /* ecall */
    0x00000513, /* li a0, 0 */
    0x05d00893, /* li a7, 93: exit */
    0x00000073, /* ecall */
};

struct rv_elf {
    Elf64_Ehdr header;
    Elf64_Phdr segment;
    uint32_t code[16];
};

static inline struct rv_elf rv_program(const uint32_t *code, size_t size)
{
    const uint64_t address = 0x10000;
    struct rv_elf elf = {
        .header = {.e_type = ET_EXEC,
                   .e_machine = EM_RISCV,
                   .e_version = EV_CURRENT,
                   .e_entry = address + offsetof(struct rv_elf, code),
                   .e_phoff = offsetof(struct rv_elf, segment),
                   .e_flags = EF_RISCV_FLOAT_ABI_DOUBLE,
                   .e_ehsize = sizeof(Elf64_Ehdr),
                   .e_phentsize = sizeof(Elf64_Phdr),
                   .e_phnum = 1},
        .segment = {.p_type = PT_LOAD,
                    .p_flags = PF_R | PF_X,
                    .p_vaddr = address,
                    .p_paddr = address,
                    .p_filesz = sizeof(struct rv_elf),
                    .p_memsz = sizeof(struct rv_elf),
                    .p_align = 4096},
    };
    memcpy(elf.header.e_ident, ELFMAG, SELFMAG);
    elf.header.e_ident[EI_CLASS] = ELFCLASS64;
    elf.header.e_ident[EI_DATA] = ELFDATA2LSB;
    elf.header.e_ident[EI_VERSION] = EV_CURRENT;
    memcpy(elf.code, code, size);
    return elf;
}

/* Stores the path of a new file in `path` (64 bytes). */
static inline void rv_program_write(char *path, const uint32_t *code, size_t size)
{
    struct rv_elf elf = rv_program(code, size);
    strcpy(path, "/tmp/guise-test-XXXXXX");
    int fd = mkstemp(path);
    if (fd < 0 || write(fd, &elf, sizeof(elf)) != (ssize_t)sizeof(elf) || fchmod(fd, 0755) || close(fd))
        abort();
}

#endif
