/* A small valid riscv64 program, made to be changed by tests: text, data with some bss, an optional loader's name.
 *
 *   0x0000  headers, name of the loader, text     -> link address + 0x0000, r-x
 *   0x1800  data                                  -> link address + 0x2800, rw-, 0x2000 more bytes of bss */
#ifndef TESTS_ELF_SAMPLE_H
#define TESTS_ELF_SAMPLE_H

#include <elf.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { SAMPLE_LOAD_TEXT, SAMPLE_LOAD_DATA, SAMPLE_INTERP, SAMPLE_STACK, SAMPLE_SEGMENTS };

#define SAMPLE_DATA      0x1800
#define SAMPLE_DATA_SIZE 0x400
#define SAMPLE_BSS       0x2000
#define SAMPLE_DATA_AT   0x2800
#define SAMPLE_ENTRY     0x200

struct elf_sample {
    Elf64_Ehdr header;
    Elf64_Phdr segments[SAMPLE_SEGMENTS];
    char interp[64];
    char text[SAMPLE_DATA - sizeof(Elf64_Ehdr) - SAMPLE_SEGMENTS * sizeof(Elf64_Phdr) - 64];
    char data[SAMPLE_DATA_SIZE];
};

static inline void elf_sample_make(struct elf_sample *s, uint16_t type, uint64_t address, const char *interp)
{
    memset(s, 0, sizeof(*s));
    s->header =
        (Elf64_Ehdr){.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                     .e_type = type,
                     .e_machine = EM_RISCV,
                     .e_version = EV_CURRENT,
                     .e_entry = address + SAMPLE_ENTRY,
                     .e_phoff = sizeof(Elf64_Ehdr),
                     .e_flags = EF_RISCV_RVC | EF_RISCV_FLOAT_ABI_DOUBLE,
                     .e_ehsize = sizeof(Elf64_Ehdr),
                     .e_phentsize = sizeof(Elf64_Phdr),
                     .e_phnum = SAMPLE_SEGMENTS};
    s->segments[SAMPLE_LOAD_TEXT] = (Elf64_Phdr){.p_type = PT_LOAD,
                                                 .p_flags = PF_R | PF_X,
                                                 .p_vaddr = address,
                                                 .p_filesz = SAMPLE_DATA,
                                                 .p_memsz = SAMPLE_DATA,
                                                 .p_align = 0x1000};
    s->segments[SAMPLE_LOAD_DATA] = (Elf64_Phdr){.p_type = PT_LOAD,
                                                 .p_flags = PF_R | PF_W,
                                                 .p_offset = SAMPLE_DATA,
                                                 .p_vaddr = address + SAMPLE_DATA_AT,
                                                 .p_filesz = SAMPLE_DATA_SIZE,
                                                 .p_memsz = SAMPLE_DATA_SIZE + SAMPLE_BSS,
                                                 .p_align = 0x1000};
    s->segments[SAMPLE_INTERP] = (Elf64_Phdr){.p_type = interp ? PT_INTERP : PT_NULL,
                                              .p_flags = PF_R,
                                              .p_offset = offsetof(struct elf_sample, interp),
                                              .p_filesz = interp ? strlen(interp) + 1 : 0};
    s->segments[SAMPLE_STACK] = (Elf64_Phdr){.p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W};
    if (interp)
        strncpy(s->interp, interp, sizeof(s->interp) - 1);
    memset(s->text, 0x13, sizeof(s->text));
    memset(s->data, 'd', sizeof(s->data));
}

#endif
