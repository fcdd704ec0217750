/* read header and segments -> check everything -> choose the place -> map -> the same for the loader
 *
 * Nothing in the file is believed: sizes, counts and places are checked against the file and the address space before
 * anything is mapped, and what is mapped lies in the guest's addresses alone. */
#include "process/elf.h"

#include "base/error.h"
#include "base/util.h"
#include "process/path.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef EF_RISCV_RVE
#define EF_RISCV_RVE 0x0008
#endif
#ifndef EF_RISCV_FLOAT_ABI_QUAD
#define EF_RISCV_FLOAT_ABI_QUAD 0x0006
#endif

#define MAX_SEGMENTS (65536 / sizeof(Elf64_Phdr)) /* as Linux */

/* A program or loader file that is being looked at. */
struct object {
    int fd;
    const char *what; /* for messages: "/bin/ls" or "/bin/ls: its loader /lib/ld.so" */
    uint64_t file_size;
    Elf64_Ehdr header;
    Elf64_Phdr *segments; /* owned; header.e_phnum of them */
    const Elf64_Phdr *interp;
    uint64_t low, high; /* extent of the PT_LOAD segments, whole pages */
    uint64_t align;
    uint64_t bias; /* where it was put minus where it was linked */
    bool executable_stack;
};

/* ---- What a file is ---- */

static const char *machine_name(uint16_t machine, bool wide)
{
    switch (machine) {
    case EM_X86_64: return wide ? "an x86-64 program" : "an x32 program";
    case EM_386: return "an i386 program";
    case EM_AARCH64: return "an AArch64 program";
    case EM_ARM: return "an ARM program";
    case EM_PPC64: return "a 64-bit PowerPC program";
    case EM_PPC: return "a PowerPC program";
    case EM_S390: return "an S/390 program";
    case EM_MIPS: return "a MIPS program";
    case EM_SPARCV9: return "a SPARC program";
    case EM_IA_64: return "an Itanium program";
    case EM_BPF: return "a BPF object";
    case EM_RISCV: return "a 32-bit RISC-V program";
    case 258: return "a LoongArch program";
    default: return NULL;
    }
}

/* The first bytes of every ELF file have one place whatever its class. */
static enum elf_kind identify(const unsigned char *head, size_t size, char *why, size_t why_size)
{
    if (size >= 2 && head[0] == '#' && head[1] == '!')
        return ELF_SCRIPT;
    if (size < EI_NIDENT + 4 || memcmp(head, ELFMAG, SELFMAG))
        return ELF_NONE;
    bool little = head[EI_DATA] == ELFDATA2LSB, wide = head[EI_CLASS] == ELFCLASS64;
    unsigned low = head[EI_NIDENT + 2], high = head[EI_NIDENT + 3];
    uint16_t machine = (uint16_t)(little ? low | high << 8 : high | low << 8);
    if (machine == EM_RISCV && wide && little)
        return ELF_RISCV64;
    const char *name = machine_name(machine, wide);
    if (machine == EM_RISCV && !little)
        snprintf(why, why_size, "a big-endian RISC-V program");
    else if (name)
        snprintf(why, why_size, "%s", name);
    else
        snprintf(why, why_size, "a program for another machine (ELF machine number %u)", machine);
    return ELF_OTHER;
}

enum elf_kind elf_identify(int fd, char *why, size_t why_size)
{
    unsigned char head[EI_NIDENT + 4];
    ssize_t n = pread(fd, head, sizeof(head), 0);
    return n < 0 ? ELF_NONE : identify(head, (size_t)n, why, why_size);
}

/* ---- Reading and checking ---- */

static int bad(const struct object *o, struct guise_error *err, const char *problem)
{
    return error_set(err, GUISE_E_EXEC, "%s: %s", o->what, problem);
}

static int read_at(const struct object *o, void *to, uint64_t size, uint64_t offset, struct guise_error *err)
{
    if (size > o->file_size || offset > o->file_size - size)
        return bad(o, err, "the file is truncated");
    ssize_t n = pread(o->fd, to, size, (off_t)offset);
    if (n < 0)
        return error_set_errno(err, GUISE_E_EXEC, errno, "%s: cannot be read", o->what);
    return (uint64_t)n == size ? 0 : bad(o, err, "the file is truncated");
}

static int check_kind(const struct object *o, struct guise_error *err)
{
    char why[80];
    uint16_t machine = o->header.e_machine;
    switch (identify((const unsigned char *)&o->header, sizeof(o->header), why, sizeof(why))) {
    case ELF_RISCV64: return 0;
    case ELF_SCRIPT: return bad(o, err, "this is a script, not a program");
    case ELF_NONE: return bad(o, err, "this is not an ELF program");
    case ELF_OTHER: break;
    }
    bool native = machine == EM_X86_64 || machine == EM_386;
    return error_set(err, GUISE_E_EXEC, "%s: this is %s%s", o->what, why,
                     native ? "; run it directly" : "; Guise runs 64-bit little-endian RISC-V programs");
}

static int check_header(const struct object *o, struct guise_error *err)
{
    const Elf64_Ehdr *h = &o->header;
    int status = check_kind(o, err);
    if (status)
        return status;
    if (h->e_type == ET_REL)
        return bad(o, err, "this is an object file; link it first");
    if (h->e_type == ET_CORE)
        return bad(o, err, "this is a core dump, not a program");
    if (h->e_type != ET_EXEC && h->e_type != ET_DYN)
        return bad(o, err, "this ELF file is not a program");
    if (h->e_flags & EF_RISCV_RVE)
        return bad(o, err, "it is made for RV64E, the variant with 16 registers, which is not supported");
    if ((h->e_flags & EF_RISCV_FLOAT_ABI_QUAD) == EF_RISCV_FLOAT_ABI_QUAD)
        return bad(o, err,
                   "it passes quad-precision floats in registers (the Q extension), which is not supported");
    if (h->e_phentsize != sizeof(Elf64_Phdr) || !h->e_phnum || h->e_phnum > MAX_SEGMENTS)
        return bad(o, err, "its table of segments has a wrong size");
    return 0;
}

static int check_segment(struct object *o, const Elf64_Phdr *s, uint64_t limit, struct guise_error *err)
{
    if (s->p_filesz > s->p_memsz)
        return bad(o, err, "a segment is larger in the file than in memory");
    if (s->p_filesz && (s->p_filesz > o->file_size || s->p_offset > o->file_size - s->p_filesz))
        return bad(o, err, "the file is truncated: a segment lies outside of it");
    if (s->p_memsz > limit || s->p_vaddr > limit - s->p_memsz)
        return bad(o, err, "a segment lies outside of the address space");
    if (s->p_filesz && (s->p_offset - s->p_vaddr) % MM_PAGE)
        return bad(o, err, "a segment's place in the file does not fit its address (pages are 4096 bytes)");
    /* Bytes of two segments must not overlap; pages may, the later one then holds them. */
    if (s->p_vaddr < o->high)
        return bad(o, err, "its segments overlap or are not in ascending order");
    if (o->low == UINT64_MAX)
        o->low = ALIGN_DOWN(s->p_vaddr, MM_PAGE);
    o->high = s->p_vaddr + s->p_memsz;
    if (s->p_align > o->align && !(s->p_align & (s->p_align - 1)))
        o->align = s->p_align;
    return 0;
}

static int check_segments(struct object *o, uint64_t limit, struct guise_error *err)
{
    o->low = UINT64_MAX;
    o->align = MM_PAGE;
    o->executable_stack = true;
    for (unsigned i = 0; i < o->header.e_phnum; i++) {
        const Elf64_Phdr *s = &o->segments[i];
        int status = s->p_type == PT_LOAD && s->p_memsz ? check_segment(o, s, limit, err) : 0;
        if (status)
            return status;
        if (s->p_type == PT_INTERP && !o->interp)
            o->interp = s;
        if (s->p_type == PT_GNU_STACK)
            o->executable_stack = s->p_flags & PF_X;
    }
    if (o->low == UINT64_MAX)
        return bad(o, err, "it has no segment to load");
    o->high = ALIGN_UP(o->high, MM_PAGE);
    return 0;
}

/* Reads and checks all that is needed of the file; o->fd and o->what are set. */
static int object_read(struct object *o, uint64_t limit, struct guise_error *err)
{
    struct stat st;
    if (fstat(o->fd, &st))
        return error_set_errno(err, GUISE_E_EXEC, errno, "%s", o->what);
    if (!S_ISREG(st.st_mode))
        return bad(o, err, S_ISDIR(st.st_mode) ? "is a directory" : "is not a regular file");
    o->file_size = (uint64_t)st.st_size;
    ssize_t n = pread(o->fd, &o->header, sizeof(o->header), 0);
    if (n < 0)
        return error_set_errno(err, GUISE_E_EXEC, errno, "%s: cannot be read", o->what);
    if (n < (ssize_t)sizeof(o->header) && n >= SELFMAG && !memcmp(&o->header, ELFMAG, SELFMAG))
        return bad(o, err, "the file is truncated");
    int status = check_header(o, err);
    if (status)
        return status;
    uint64_t size = o->header.e_phnum * sizeof(Elf64_Phdr);
    o->segments = malloc(size);
    if (!o->segments)
        return error_set(err, GUISE_E_NOMEM, "%s: no memory to read its segments", o->what);
    status = read_at(o, o->segments, size, o->header.e_phoff, err);
    return status ? status : check_segments(o, limit, err);
}

static void object_release(struct object *o)
{
    free(o->segments);
}

/* ---- Mapping ---- */

static int no_room(const struct object *o, struct guise_error *err, int64_t error)
{
    return error_set_errno(err, GUISE_E_EXEC, (int)-error, "%s: cannot be mapped", o->what);
}

static int segment_prot(const Elf64_Phdr *s)
{
    return (s->p_flags & PF_R ? PROT_READ : 0) | (s->p_flags & PF_W ? PROT_WRITE : 0) |
           (s->p_flags & PF_X ? PROT_EXEC : 0);
}

/* What follows the file's bytes on their last page is zero for a segment that may be written. */
static int clear_tail(struct mm *mm, uint64_t start, uint64_t end)
{
    static const char zeros[4096];
    return start < end ? mm_write(mm, start, zeros, end - start) : 0;
}

static int map_segment(struct mm *mm, const struct object *o, const Elf64_Phdr *s, struct guise_error *err)
{
    uint64_t address = s->p_vaddr + o->bias, start = ALIGN_DOWN(address, MM_PAGE);
    uint64_t file_end = address + s->p_filesz, end = ALIGN_UP(address + s->p_memsz, MM_PAGE);
    uint64_t zero_start = s->p_filesz ? ALIGN_UP(file_end, MM_PAGE) : start;
    int prot = segment_prot(s);
    if (s->p_filesz) {
        uint64_t offset = s->p_offset - (address - start);
        int64_t got = mm_mmap(mm, start, zero_start - start, prot, MAP_PRIVATE | MAP_FIXED, o->fd, offset);
        if (got < 0)
            return no_room(o, err, got);
        if (s->p_memsz > s->p_filesz && (prot & PROT_WRITE) && clear_tail(mm, file_end, zero_start))
            return bad(o, err, "its data cannot be read");
    }
    if (end > zero_start) {
        int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
        int64_t got = mm_mmap(mm, zero_start, end - zero_start, prot, flags, -1, 0);
        if (got < 0)
            return no_room(o, err, got);
    }
    return 0;
}

/* Maps all segments; `hint` is where a position-independent object should go, 0: anywhere. */
static int object_map(struct mm *mm, struct object *o, uint64_t hint, struct guise_error *err)
{
    bool fixed = o->header.e_type == ET_EXEC;
    uint64_t align = fixed ? MM_PAGE : o->align, low = ALIGN_DOWN(o->low, align);
    uint64_t at = mm_place(mm, fixed ? low : hint, o->high - low, align);
    if (fixed && at != low)
        return error_set(err, GUISE_E_EXEC, "%s: its fixed address %#llx cannot be mapped", o->what,
                         (unsigned long long)low);
    if (!at)
        return no_room(o, err, -ENOMEM);
    o->bias = at - low;
    for (unsigned i = 0; i < o->header.e_phnum; i++) {
        const Elf64_Phdr *s = &o->segments[i];
        int status = s->p_type == PT_LOAD && s->p_memsz ? map_segment(mm, o, s, err) : 0;
        if (status)
            return status;
    }
    return 0;
}

/* ---- The loader (PT_INTERP) ---- */

static int read_interp(const struct object *o, char path[PATH_SIZE], struct guise_error *err)
{
    uint64_t size = o->interp->p_filesz;
    if (size < 2 || size > PATH_SIZE)
        return bad(o, err, "the name of its loader has a wrong size");
    int status = read_at(o, path, size, o->interp->p_offset, err);
    if (!status && path[size - 1])
        return bad(o, err, "the name of its loader does not end");
    return status;
}

static int open_interp(const struct object *o, const char *interp, int sysroot_fd, const char *sysroot,
                       struct guise_error *err)
{
    int fd = sysroot_fd >= 0 ? path_open_in_root(sysroot_fd, interp, O_RDONLY) : -1;
    if (fd < 0)
        fd = open(interp, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    if (errno != ENOENT && errno != ENOTDIR)
        return error_set_errno(err, GUISE_E_EXEC, errno, "%s: its loader %s", o->what, interp);
    if (sysroot)
        return error_set(
            err, GUISE_E_NOTFOUND,
            "%s: its loader %s is not found, nor is it in %s; give the directory that has it with "
            "--sysroot DIR",
            o->what, interp, sysroot);
    return error_set(
        err, GUISE_E_NOTFOUND,
        "%s: its loader %s is not found; give a directory that has it with --sysroot DIR (for instance "
        "/usr/riscv64-linux-gnu)",
        o->what, interp);
}

static int load_interp(struct mm *mm, const struct object *program, int sysroot_fd, const char *sysroot,
                       struct elf_image *image, struct guise_error *err)
{
    char interp[PATH_SIZE], what[512];
    int status = read_interp(program, interp, err);
    if (status)
        return status;
    struct object o = {.what = what};
    o.fd = open_interp(program, interp, sysroot_fd, sysroot, err);
    if (o.fd < 0)
        return o.fd;
    snprintf(what, sizeof(what), "%.200s: its loader %.200s", program->what, interp);
    status = object_read(&o, mm_limit(mm), err);
    if (!status)
        status = object_map(mm, &o, 0, err);
    image->base = o.bias;
    image->entry = o.header.e_entry + o.bias;
    object_release(&o);
    close(o.fd);
    return status;
}

/* ---- The program ---- */

/* Where a segment shows the program headers, for AT_PHDR; 0: nowhere. */
static uint64_t headers_address(const struct object *o)
{
    for (unsigned i = 0; i < o->header.e_phnum; i++) {
        const Elf64_Phdr *s = &o->segments[i];
        if (s->p_type == PT_LOAD && o->header.e_phoff >= s->p_offset &&
            o->header.e_phoff - s->p_offset < s->p_filesz)
            return o->header.e_phoff - s->p_offset + s->p_vaddr + o->bias;
    }
    return 0;
}

static void code_range(const struct object *o, struct elf_image *image)
{
    image->start_code = o->low + o->bias;
    for (unsigned i = 0; i < o->header.e_phnum; i++) {
        const Elf64_Phdr *s = &o->segments[i];
        if (s->p_type == PT_LOAD && (s->p_flags & PF_X))
            image->end_code = s->p_vaddr + s->p_filesz + o->bias;
    }
}

static void describe(struct mm *mm, const struct object *o, struct elf_image *image)
{
    const struct mm_layout *layout = mm_layout(mm);
    *image = (struct elf_image){.program_entry = o->header.e_entry + o->bias,
                                .phdr = headers_address(o),
                                .phnum = o->header.e_phnum,
                                .executable_stack = o->executable_stack};
    image->entry = image->program_entry;
    code_range(o, image);
    /* A loader or static program that was put among the mappings has its heap where programs go, as on Linux. */
    bool among_mappings = o->header.e_type == ET_DYN && !o->interp;
    image->brk = (among_mappings ? layout->program : o->high + o->bias) + layout->brk_slack;
}

int elf_load(struct mm *mm, int fd, const char *path, int sysroot_fd, const char *sysroot,
             struct elf_image *image, struct guise_error *err)
{
    struct object o = {.fd = fd, .what = path};
    int status = object_read(&o, mm_limit(mm), err);
    if (!status)
        status = object_map(mm, &o, o.interp ? mm_layout(mm)->program : 0, err);
    if (!status)
        describe(mm, &o, image);
    if (!status && o.interp)
        status = load_interp(mm, &o, sysroot_fd, sysroot, image, err);
    object_release(&o);
    return status;
}
