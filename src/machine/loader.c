#include "machine/loader.h"

#include "base/error.h"
#include "base/util.h"
#include "machine/tree.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <libfdt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB UINT64_C(0x100000)

enum {
    TREE_ROOM = 0x100000, /* bytes of the tree, most of it free */
    TREE_REGION = 2 * 0x100000,
};

/* A file and the part of memory in which things are put. */
struct file {
    const char *path, *what; /* "kernel" */
    int fd;
    uint64_t length;
    uint8_t head[64];
};

/* What is taken of memory: [LAYOUT_RAM, low) and [high, end). */
struct room {
    const struct gmem *memory;
    uint64_t low, high, end;
};

static int too_small(const struct file *f, const struct room *room, uint64_t base, uint64_t length,
                     struct guise_error *err)
{
    return error_set(
        err, GUISE_E_CONFIG,
        "%s %s needs %llu MiB at 0x%llx, and memory of %llu MiB has no room there: give the machine more (--memory)",
        f->what, f->path, (unsigned long long)(ALIGN_UP(length, MIB) / MIB), (unsigned long long)base,
        (unsigned long long)((room->end - LAYOUT_RAM) / MIB));
}

static int file_open(struct file *f, const char *what, const char *path, struct guise_error *err)
{
    struct stat st;
    *f = (struct file){.path = path, .what = what, .fd = open(path, O_RDONLY | O_CLOEXEC)};
    if (f->fd < 0)
        return error_set_errno(err, errno == ENOENT ? GUISE_E_NOTFOUND : GUISE_E_IO, errno, "%s %s", what,
                               path);
    int r = 0;
    if (fstat(f->fd, &st) || !S_ISREG(st.st_mode))
        r = error_set(err, GUISE_E_CONFIG, "%s %s is no file", what, path);
    else if (st.st_size == 0)
        r = error_set(err, GUISE_E_CONFIG, "%s %s is empty", what, path);
    else if (pread(f->fd, f->head, sizeof(f->head), 0) < 0)
        r = error_set_errno(err, GUISE_E_IO, errno, "%s %s", what, path);
    else
        f->length = (uint64_t)st.st_size;
    if (r)
        close(f->fd);
    return r;
}

/* Copies part of the file to memory that is known to be there. */
static int file_copy(const struct file *f, uint64_t offset, const struct gmem *memory, uint64_t gpa,
                     uint64_t length, struct guise_error *err)
{
    uint8_t *to = gmem_slice(memory, gpa, length, GMEM_WRITE);
    for (uint64_t done = 0; done < length;) {
        ssize_t n = pread(f->fd, to + done, length - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? error_set_errno(err, GUISE_E_IO, errno, "%s %s", f->what, f->path)
                         : error_set(err, GUISE_E_IO, "%s %s ends too early", f->what, f->path);
        done += (uint64_t)n;
    }
    return 0;
}

/* ---- Images ---- */

static uint64_t get64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static bool is_elf(const struct file *f)
{
    return memcmp(f->head, ELFMAG, SELFMAG) == 0;
}

/* Linux's own header, behind which an EFI application may hide. */
static bool is_image(const struct file *f)
{
    return f->length >= sizeof(f->head) && memcmp(f->head + 56, "RSC\x05", 4) == 0;
}

static int not_bootable(const struct file *f, struct guise_error *err)
{
    if (f->head[0] == 0x1f && f->head[1] == 0x8b)
        return error_set(err, GUISE_E_CONFIG,
                         "kernel %s is compressed: unpack it first, with gzip -dc %s >Image", f->path,
                         f->path);
    if (memcmp(f->head, "MZ", 2) == 0 && memcmp(f->head + 4, "zimg", 4) == 0)
        return error_set(err, GUISE_E_CONFIG,
                         "kernel %s is an EFI application that unpacks itself: the plain Image is needed",
                         f->path);
    return error_set(err, GUISE_E_CONFIG, "kernel %s is no riscv64 kernel: neither an Image nor ELF",
                     f->path);
}

/* `base` has to be where nothing is yet; marks it as taken. */
static int take_low(struct room *room, const struct file *f, uint64_t base, uint64_t length,
                    struct guise_error *err)
{
    if (base > room->high || length > room->high - base)
        return too_small(f, room, base, length, err);
    if (base < room->low)
        return error_set(err, GUISE_E_CONFIG,
                         "%s %s starts at 0x%llx, where the firmware is (it ends at 0x%llx)", f->what,
                         f->path, (unsigned long long)base, (unsigned long long)room->low);
    room->low = base + length;
    return 0;
}

static int load_image(const struct file *f, struct room *room, uint64_t *entry, struct guise_error *err)
{
    uint64_t offset = get64(f->head + 8), size = get64(f->head + 16), flags = get64(f->head + 24);
    if (flags & 1)
        return error_set(err, GUISE_E_CONFIG, "kernel %s is big-endian", f->path);
    if (offset % (2 * MIB) || offset >= UINT64_C(1) << 40 || size >= UINT64_C(1) << 40)
        return error_set(err, GUISE_E_CONFIG, "kernel %s has a header that is damaged", f->path);
    *entry = LAYOUT_RAM + offset;
    int r = take_low(room, f, *entry, MAX(size, f->length), err);
    return r ? r : file_copy(f, 0, room->memory, *entry, f->length, err);
}

static int load_segment(const struct file *f, const Elf64_Phdr *segment, struct room *room,
                        struct guise_error *err)
{
    uint64_t base = segment->p_paddr, length = segment->p_memsz;
    if (segment->p_type != PT_LOAD || length == 0)
        return 0;
    if (base < LAYOUT_RAM || base > room->high || length > room->high - base)
        return too_small(f, room, base, length, err);
    if (segment->p_filesz > length)
        return error_set(err, GUISE_E_CONFIG, "%s %s is damaged: a segment is larger than its memory",
                         f->what, f->path);
    room->low = MAX(room->low, base + length);
    return file_copy(f, segment->p_offset, room->memory, base, segment->p_filesz, err);
}

static int load_elf(const struct file *f, struct room *room, uint64_t *entry, struct guise_error *err)
{
    Elf64_Ehdr header;
    Elf64_Phdr segment;
    int r = 0;
    memcpy(&header, f->head, sizeof(header));
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != EM_RISCV ||
        header.e_phentsize != sizeof(segment))
        return error_set(err, GUISE_E_CONFIG, "%s %s is no riscv64 program", f->what, f->path);
    for (unsigned i = 0; i < header.e_phnum && r == 0; i++) {
        off_t at = (off_t)(header.e_phoff + i * sizeof(segment));
        if (pread(f->fd, &segment, sizeof(segment), at) != (ssize_t)sizeof(segment))
            return error_set(err, GUISE_E_IO, "%s %s ends too early", f->what, f->path);
        r = load_segment(f, &segment, room, err);
    }
    *entry = header.e_entry;
    return r;
}

static int load_kernel(const char *path, struct room *room, uint64_t *entry, struct guise_error *err)
{
    struct file f;
    int r = file_open(&f, "kernel", path, err);
    if (r)
        return r;
    if (is_image(&f))
        r = load_image(&f, room, entry, err);
    else if (is_elf(&f))
        r = load_elf(&f, room, entry, err);
    else
        r = not_bootable(&f, err);
    close(f.fd);
    return r;
}

static int load_bios(const char *path, struct room *room, uint64_t *entry, struct guise_error *err)
{
    struct file f;
    int r = file_open(&f, "firmware", path, err);
    if (r)
        return r;
    if (is_elf(&f)) {
        r = load_elf(&f, room, entry, err);
    } else {
        *entry = LAYOUT_RAM;
        r = take_low(room, &f, LAYOUT_RAM, f.length, err);
        if (r == 0)
            r = file_copy(&f, 0, room->memory, LAYOUT_RAM, f.length, err);
    }
    close(f.fd);
    return r;
}

static int load_initrd(const char *path, struct room *room, struct tree_chosen *chosen,
                       struct guise_error *err)
{
    struct file f;
    int r = file_open(&f, "initrd", path, err);
    if (r)
        return r;
    if (f.length > room->high - room->low) {
        r = too_small(&f, room, room->low, f.length, err);
    } else {
        room->high = ALIGN_DOWN(room->high - f.length, GMEM_PAGE);
        chosen->initrd = room->high;
        chosen->initrd_length = f.length;
        r = room->high < room->low ? too_small(&f, room, room->low, f.length, err)
                                   : file_copy(&f, 0, room->memory, room->high, f.length, err);
    }
    close(f.fd);
    return r;
}

/* ---- Device tree and firmware ---- */

/* struct fw_dynamic_info, version 2. */
struct dynamic_info {
    uint64_t magic, version, next_pc, next_mode, options, boot_hart;
};

#define DYNAMIC_MAGIC 0x4942534f

static void write_info(const struct gmem *memory, uint64_t gpa, uint64_t kernel)
{
    const struct dynamic_info info = {
        .magic = DYNAMIC_MAGIC, .version = 2, .next_pc = kernel, .next_mode = PRIV_S};
    gmem_load(memory, gpa, &info, sizeof(info));
}

static uint64_t tree_place(const struct board *board)
{
    uint64_t length = MIN(board->config.memory, UINT64_C(0x80000000));
    return ALIGN_DOWN(LAYOUT_RAM + length - TREE_REGION, TREE_REGION);
}

int loader_load(const struct board *board, const struct loader_files *files, struct loader_start *start,
                struct guise_error *err)
{
    struct tree_chosen chosen = {.append = files->append};
    struct room room = {.memory = &board->memory,
                        .low = LAYOUT_RAM,
                        .high = tree_place(board),
                        .end = LAYOUT_RAM + board->config.memory};
    uint64_t firmware = 0, kernel = 0;
    *start = (struct loader_start){.tree = room.high, .info = room.high + TREE_ROOM};
    int r = 0;
    if (files->bios)
        r = load_bios(files->bios, &room, &firmware, err);
    if (r == 0 && files->kernel)
        r = load_kernel(files->kernel, &room, &kernel, err);
    if (r == 0 && files->initrd)
        r = load_initrd(files->initrd, &room, &chosen, err);
    if (r == 0)
        r = tree_write(gmem_slice(&board->memory, start->tree, TREE_ROOM, GMEM_WRITE), TREE_ROOM, board,
                       &chosen, err);
    write_info(&board->memory, start->info, kernel);
    start->pc = files->bios ? firmware : kernel;
    return r;
}

int loader_dump_tree(const struct board *board, const struct loader_files *files, const char *path,
                     struct guise_error *err)
{
    struct loader_start start;
    int r = loader_load(board, files, &start, err);
    if (r)
        return r;
    void *tree = gmem_slice(&board->memory, start.tree, TREE_ROOM, GMEM_WRITE);
    fdt_pack(tree);
    FILE *out = strcmp(path, "-") == 0 ? stdout : fopen(path, "we");
    if (!out)
        return error_set_errno(err, GUISE_E_IO, errno, "cannot make %s", path);
    bool written = fwrite(tree, fdt_totalsize(tree), 1, out) == 1;
    if (fflush(out) || (out != stdout && fclose(out)) || !written)
        r = error_set_errno(err, GUISE_E_IO, errno, "cannot write %s", path);
    return r;
}
