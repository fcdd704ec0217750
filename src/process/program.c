#include "process/program.h"

#include "base/util.h"
#include "process/elf.h"
#include "process/serve.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef AT_EXECVE_CHECK /* Linux 6.14 */
#define AT_EXECVE_CHECK 0x10000
#endif

/* ---- The #! line ---- */

/* Cuts the text into interpreter and argument. False when it names none, or might name a longer one than was read. */
static bool parse_line(struct script_line *line)
{
    char *start = line->text + 2, *end = strchr(start, '\n');
    start += strspn(start, " \t");
    if (!end) {
        end = line->text + strlen(line->text);
        bool cut_short = end == line->text + SCRIPT_LINE - 1;
        if (cut_short && start + strcspn(start, " \t") == end)
            return false;
    }
    while (end > line->text + 2 && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    *end = 0;
    if (start >= end)
        return false;
    char *gap = start + strcspn(start, " \t");
    line->name = start;
    line->argument = *gap ? gap + strspn(gap, " \t") : NULL;
    *gap = 0;
    return true;
}

/* Reads as much as Linux does: 256 bytes, of which the last is never used. */
static bool read_line(int fd, struct script_line *line)
{
    memset(line->text, 0, sizeof(line->text));
    return pread(fd, line->text, SCRIPT_LINE - 1, 0) > 2 && parse_line(line);
}

/* ---- Finding ---- */

/* A file that cannot be read may be executable all the same: the host's kernel is asked then. FIFOs must not block. */
static int open_program(const struct program *program)
{
    char own[32];
    const int nofollow = program->flags & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0;
    const char *path = program->path;
    int dirfd = program->dirfd;
    if (!*path && (program->flags & AT_EMPTY_PATH)) {
        snprintf(own, sizeof(own), "/proc/self/fd/%d", dirfd);
        path = own;
        dirfd = AT_FDCWD;
    }
    int fd = openat(dirfd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | nofollow);
    return fd < 0 ? -errno : fd;
}

/* Newer kernels say for themselves, with ETXTBSY for a file that is being written. */
static int may_execute(int fd)
{
    const char *const none[] = {"", NULL};
    long error = host_call_now(SYS_execveat, fd, "", none, none, AT_EMPTY_PATH | AT_EXECVE_CHECK);
    if (error == -EINVAL)
        error = host_call_now(SYS_faccessat2, fd, "", X_OK, AT_EMPTY_PATH | AT_EACCESS);
    return error == -ENOSYS ? 0 : (int)error;
}

static enum elf_kind identify(int fd)
{
    char why[80];
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? elf_identify(fd, why, sizeof(why)) : ELF_NONE;
}

/* The script in `fd` gives way to its interpreter. Returns 1 or -errno. */
static int follow_script(struct program *program, const struct process *p, int fd)
{
    if (program->depth == SCRIPT_DEPTH)
        return -ELOOP;
    struct script_line *line = &program->lines[program->depth];
    if (!read_line(fd, line))
        return -ENOEXEC;
    program->depth++;
    program->dirfd = AT_FDCWD;
    program->flags = 0;
    memcpy(program->path, line->name, strlen(line->name) + 1);
    path_resolve(p, program->path);
    return 1;
}

/* One step: looks at program->path. Returns 1 when it was a script, which has led to another path. */
static int follow(struct program *program, const struct process *p, bool strict)
{
    int fd = open_program(program);
    if (fd < 0)
        return fd == -EACCES ? 0 : fd;
    enum elf_kind kind = identify(fd);
    int status = 0;
    if (strict && (kind == ELF_RISCV64 || kind == ELF_SCRIPT))
        status = may_execute(fd);
    if (status == 0 && kind == ELF_SCRIPT)
        status = follow_script(program, p, fd);
    if (status == 0 && kind == ELF_RISCV64)
        program->fd = fd;
    else
        close(fd);
    return status;
}

int program_find(struct program *program, const struct process *p, int dirfd, const char *path, int flags,
                 bool strict)
{
    program->fd = -1;
    program->dirfd = dirfd;
    program->flags = flags;
    program->depth = 0;
    memcpy(program->path, path, strlen(path) + 1);
    int status;
    do
        status = follow(program, p, strict);
    while (status == 1);
    return status;
}

void program_release(struct program *program)
{
    if (program->fd >= 0)
        close(program->fd);
    program->fd = -1;
}

/* ---- Is it whole? ---- */

static bool read_segment(int fd, const Elf64_Ehdr *header, unsigned i, Elf64_Phdr *segment)
{
    off_t at = (off_t)(header->e_phoff + i * sizeof(*segment));
    return pread(fd, segment, sizeof(*segment), at) == (ssize_t)sizeof(*segment);
}

/* `loader` is PATH_SIZE bytes. */
static int check_loader(const struct process *p, char *loader)
{
    path_resolve(p, loader);
    int fd = open(loader, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    enum elf_kind kind = identify(fd);
    close(fd);
    return kind == ELF_RISCV64 ? 0 : -ELIBBAD;
}

int program_check(const struct program *program, const struct process *p)
{
    Elf64_Ehdr header;
    Elf64_Phdr segment;
    char loader[PATH_SIZE];
    if (pread(program->fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
        (header.e_type != ET_EXEC && header.e_type != ET_DYN) || header.e_phentsize != sizeof(segment) ||
        !header.e_phnum)
        return -ENOEXEC;
    for (unsigned i = 0; i < header.e_phnum; i++) {
        if (!read_segment(program->fd, &header, i, &segment))
            return -ENOEXEC;
        if (segment.p_type != PT_INTERP)
            continue;
        if (segment.p_filesz < 2 || segment.p_filesz > sizeof(loader))
            return -ENOEXEC;
        if (pread(program->fd, loader, segment.p_filesz, (off_t)segment.p_offset) !=
                (ssize_t)segment.p_filesz ||
            loader[segment.p_filesz - 1])
            return -ENOEXEC;
        return check_loader(p, loader);
    }
    return 0;
}

/* ---- Arguments ---- */

void program_arguments(const struct program *program, const char *script, const char *const *args,
                       const char **to)
{
    if (program->depth && *args)
        args++;
    for (unsigned i = program->depth; i--;) {
        *to++ = program->lines[i].name;
        if (program->lines[i].argument)
            *to++ = program->lines[i].argument;
    }
    if (program->depth)
        *to++ = script;
    do
        *to++ = *args;
    while (*args++);
}
