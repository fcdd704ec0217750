/* A path is recognized in three steps, the cheap one first:
 *
 *   last component is a name of the table -> its directory is opened (O_PATH) -> the host says what directory that is
 *
 * so every spelling is found (relative to a descriptor or the working directory, through links), and all other paths
 * cost one comparison of names. */
#include "process/procfs.h"

#include "base/buf.h"
#include "base/util.h"
#include "isa/riscv/isa.h"
#include "process/path.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Writes the content of a file; `directory` is a descriptor of the directory that was named. */
typedef void content_fn(const struct process *p, int directory, const char *name, struct buf *out);

/* ---- Content ---- */

static void print_maps(const struct process *p, int directory, const char *name, struct buf *out)
{
    (void)directory;
    mm_print_maps(p->mm, name, out);
}

/* Guest memory, or nothing when the guest has unmapped it. */
static void print_memory(const struct process *p, uint64_t start, uint64_t end, struct buf *out)
{
    char piece[4096];
    for (; start < end; start += sizeof(piece)) {
        size_t size = MIN(sizeof(piece), end - start);
        if (mm_read(p->mm, piece, start, size))
            return;
        buf_add(out, piece, size);
    }
}

/* A program that writes a longer title over its arguments overwrites the last NUL; the title then goes on into the
 * environment, up to its own NUL. */
static void print_cmdline(const struct process *p, int directory, const char *name, struct buf *out)
{
    (void)directory, (void)name;
    print_memory(p, p->arg_start, p->arg_end, out);
    if (!out->length || !out->data[out->length - 1])
        return;
    print_memory(p, p->env_start, p->env_end, out);
    if (!out->failed)
        out->length = strnlen(out->data, out->length);
}

static void print_environ(const struct process *p, int directory, const char *name, struct buf *out)
{
    (void)directory, (void)name;
    print_memory(p, p->env_start, p->env_end, out);
}

static void print_auxv(const struct process *p, int directory, const char *name, struct buf *out)
{
    (void)directory, (void)name;
    buf_add(out, p->auxv, p->auxv_words * sizeof(p->auxv[0]));
}

/* Fields of /proc/PID/stat, counted from 1 as proc(5) does. */
static bool stat_field(const struct process *p, unsigned field, uint64_t *value)
{
    switch (field) {
    case 23: *value = mm_size(p->mm); return true;
    case 26: *value = p->start_code; return true;
    case 27: *value = p->end_code; return true;
    case 28: *value = p->stack_start; return true;
    case 48: *value = p->arg_start; return true;
    case 49: *value = p->arg_end; return true;
    case 50: *value = p->env_start; return true;
    case 51: *value = p->env_end; return true;
    default: return false;
    }
}

static bool read_text(int directory, const char *name, char *text, size_t size)
{
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, size - 1);
    if (fd >= 0)
        close(fd);
    text[MAX(length, 0)] = 0;
    return length > 0;
}

/* Of this process, with the guest's threads alone. */
static void read_own(const struct process *p, int directory, const char *name, char *text, size_t size)
{
    process_pause_own_thread(p);
    read_text(directory, name, text, size);
    process_resume_own_thread(p);
}

static void print_status(const struct process *p, int directory, const char *name, struct buf *out)
{
    char text[4096];
    read_own(p, directory, name, text, sizeof(text));
    buf_add(out, text, strlen(text));
}

/* The host's line with the guest's addresses. The second field is a name in parentheses that may hold anything. */
static void print_stat(const struct process *p, int directory, const char *name, struct buf *out)
{
    char line[2048];
    read_own(p, directory, name, line, sizeof(line));
    char *rest = strrchr(line, ')'), *save;
    if (!rest)
        return;
    buf_add(out, line, (size_t)(rest + 1 - line));
    unsigned field = 3;
    for (char *word = strtok_r(rest + 1, " \n", &save); word; word = strtok_r(NULL, " \n", &save), field++) {
        uint64_t value;
        if (stat_field(p, field, &value))
            buf_printf(out, " %" PRIu64, value);
        else
            buf_printf(out, " %s", word);
    }
    buf_add(out, "\n", 1);
}

/* ---- /proc/cpuinfo ---- */

/* The order of extension names in an ISA string: single letters, then Z by the letter after it. */
static int category(const char *name)
{
    static const char order[] = "iemafdqlcbkjtpvnh";
    const char *at = strchr(order, name[0] == 'z' ? name[1] : name[0]);
    return (name[1] ? 100 : 0) + (at ? (int)(at - order) : 99);
}

static int compare_extensions(const void *a, const void *b)
{
    const char *x = *(const char *const *)a, *y = *(const char *const *)b;
    int difference = category(x) - category(y);
    return difference ? difference : strcmp(x, y);
}

static void print_isa(uint64_t extensions, struct buf *out)
{
    const char *names[RV_EXT_COUNT];
    size_t count = 0;
    for (unsigned ext = 0; ext < RV_EXT_COUNT; ext++)
        if (extensions >> ext & 1)
            names[count++] = rv_ext_name((enum rv_ext)ext);
    qsort(names, count, sizeof(names[0]), compare_extensions);
    buf_printf(out, "rv64");
    for (size_t i = 0; i < count; i++)
        buf_printf(out, "%s%s", names[i][1] ? "_" : "", names[i]);
}

static void print_cpuinfo(const struct process *p, int directory, const char *name, struct buf *out)
{
    (void)directory, (void)name;
    long harts = MAX(sysconf(_SC_NPROCESSORS_ONLN), 1L);
    struct buf isa = {0};
    print_isa(p->config->extensions, &isa);
    for (long hart = 0; hart < harts && !isa.failed; hart++)
        buf_printf(
            out,
            "processor\t: %ld\nhart\t\t: %ld\nisa\t\t: %s\nmmu\t\t: %s\nmvendorid\t: 0x0\nmarchid\t\t: 0x0\n"
            "mimpid\t\t: 0x0\nhart isa\t: %s\n\n",
            hart, hart, isa.data, p->config->address_bits > 39 ? "sv48" : "sv39", isa.data);
    buf_release(&isa);
}

/* ---- Recognizing a path ---- */

enum place {
    PLACE_ROOT,
    PLACE_PROCESS
}; /* /proc itself, or a directory of this process or one of its threads */

static const struct entry {
    const char *name;
    enum place place;
    content_fn *content; /* NULL: the link "exe" */
} entries[] = {
    {"auxv", PLACE_PROCESS, print_auxv},
    {"cmdline", PLACE_PROCESS, print_cmdline},
    {"cpuinfo", PLACE_ROOT, print_cpuinfo},
    {"environ", PLACE_PROCESS, print_environ},
    {"exe", PLACE_PROCESS, NULL},
    {"maps", PLACE_PROCESS, print_maps},
    {"numa_maps", PLACE_PROCESS, print_maps},
    {"smaps", PLACE_PROCESS, print_maps},
    {"stat", PLACE_PROCESS, print_stat},
    {"status", PLACE_PROCESS, print_status},
};

static const struct entry *entry_of(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
        if (!strcmp(entries[i].name, name))
            return &entries[i];
    return NULL;
}

/* Opens the directory part of a path. */
static int open_directory(int dirfd, const char *path)
{
    char directory[PATH_SIZE];
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) + 1 : 0;
    if (length >= sizeof(directory))
        return -1;
    memcpy(directory, path, length);
    directory[length] = 0;
    return openat(dirfd, length ? directory : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Of a path as the host's kernel prints it, that ends in PID or PID/task/TID; 0: it does not. */
static pid_t process_of_path(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash && slash - path >= 5 && !memcmp(slash - 5, "/task", 5)) {
        slash[-5] = 0;
        slash = strrchr(path, '/');
    }
    return slash ? atoi(slash + 1) : 0;
}

/* The process whose directory this is; 0: none. */
static pid_t process_of(int directory)
{
    char path[PATH_SIZE];
    return path_of_fd(directory, path) ? process_of_path(path) : 0;
}

static bool is_in_proc(int fd)
{
    struct statfs fs;
    return !fstatfs(fd, &fs) && fs.f_type == PROC_SUPER_MAGIC;
}

enum procfs_list procfs_lists(int fd)
{
    char path[PATH_SIZE];
    enum procfs_list list = PROCFS_LISTS_NOTHING;
    char *name = is_in_proc(fd) && path_of_fd(fd, path) ? strrchr(path, '/') : NULL;
    if (name && (!strcmp(name, "/fd") || !strcmp(name, "/fdinfo")))
        list = PROCFS_LISTS_FDS;
    else if (name && !strcmp(name, "/task"))
        list = PROCFS_LISTS_THREADS;
    if (!list)
        return list;
    *name = 0;
    return process_of_path(path) == getpid() ? list : PROCFS_LISTS_NOTHING;
}

static bool is_place(int directory, const struct entry *e)
{
    struct stat st;
    if (!is_in_proc(directory))
        return false;
    if (e->place == PLACE_ROOT)
        return !fstat(directory, &st) && st.st_ino == 1;
    pid_t pid = process_of(directory);
    return pid == getpid() || (pid && !e->content);
}

/* The entry that a path names, NULL: none. Stores a descriptor of its directory, which the caller closes. */
static const struct entry *find_entry(int dirfd, const char *path, int *directory)
{
    const struct entry *e = entry_of(path);
    if (!e)
        return NULL;
    *directory = open_directory(dirfd, path);
    if (*directory < 0)
        return NULL;
    if (is_place(*directory, e))
        return e;
    close(*directory);
    return NULL;
}

/* ---- The link exe ---- */

/* Is the process another monitor like this one? */
static bool is_monitor(const struct process *p, int directory)
{
    struct stat own, other;
    return p->config->monitor_fd >= 0 && !fstat(p->config->monitor_fd, &own) &&
           !fstatat(directory, "exe", &other, 0) && own.st_dev == other.st_dev && own.st_ino == other.st_ino;
}

/* The file that is mapped at `address`, as /proc/PID/maps names it. */
static bool mapped_file(int directory, uint64_t address, char target[PATH_SIZE])
{
    int fd = openat(directory, "maps", O_RDONLY | O_CLOEXEC);
    FILE *maps = fd < 0 ? NULL : fdopen(fd, "r");
    char *line = NULL;
    size_t size = 0;
    bool found = false;
    while (maps && !found && getline(&line, &size, maps) > 0) {
        uint64_t start, end;
        const char *path = strchr(line, '/');
        line[strcspn(line, "\n")] = 0;
        found = path && sscanf(line, "%" SCNx64 "-%" SCNx64, &start, &end) == 2 && start <= address &&
                address < end && strlen(path) < PATH_SIZE;
        if (found)
            strcpy(target, path);
    }
    free(line);
    if (maps)
        fclose(maps);
    else if (fd >= 0)
        close(fd);
    return found;
}

/* A monitor tells the host's kernel where its guest's code starts: the file that is mapped there is the program. */
static bool program_of(int directory, char target[PATH_SIZE])
{
    char line[2048];
    uint64_t start_code = 0;
    if (!read_text(directory, "stat", line, sizeof(line)))
        return false;
    const char *field = strrchr(line, ')');
    for (unsigned i = 2; field && i < 26; i++)
        field = strchr(field + 1, ' ');
    return field && sscanf(field, "%" SCNu64, &start_code) == 1 && mapped_file(directory, start_code, target);
}

/* Where the link leads a guest, if not to where it leads the host. */
static bool exe_target(const struct process *p, int directory, char target[PATH_SIZE])
{
    if (process_of(directory) != getpid())
        return is_monitor(p, directory) && program_of(directory, target);
    snprintf(target, PATH_SIZE, "%s", p->exe);
    return true;
}

bool procfs_follow(struct process *p, int dirfd, const char *path, char target[PATH_SIZE])
{
    const struct entry *e = entry_of(path);
    int directory;
    if (!e || e->content || !find_entry(dirfd, path, &directory))
        return false;
    bool leads = exe_target(p, directory, target);
    close(directory);
    return leads;
}

/* ---- Serving ---- */

/* A descriptor that reads `content` from its start, or -errno. */
static int64_t open_content(const char *name, const struct buf *content, int flags)
{
    char link[32];
    int memory = content->failed ? -1 : memfd_create(name, MFD_CLOEXEC);
    if (memory < 0)
        return content->failed ? -ENOMEM : -errno;
    ssize_t written = content->length ? write(memory, content->data, content->length) : 0;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", memory);
    int fd =
        (size_t)written == content->length ? open(link, O_RDONLY | (flags & (O_CLOEXEC | O_NONBLOCK))) : -1;
    int error = errno;
    close(memory);
    return fd < 0 ? -error : fd;
}

/* Is it the memory of a process as a file? Writing there needs no right to write to the page. */
static bool is_memory(int dirfd, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (strcmp(slash ? slash + 1 : path, "mem") != 0)
        return false;
    int directory = open_directory(dirfd, path);
    bool in_proc = directory >= 0 && is_in_proc(directory);
    if (directory >= 0)
        close(directory);
    return in_proc;
}

bool procfs_open(struct process *p, int dirfd, const char *path, int flags, int64_t *result)
{
    int directory;
    if ((flags & O_ACCMODE) != O_RDONLY && is_memory(dirfd, path))
        mm_guard_none(p->mm);
    if ((flags & O_ACCMODE) != O_RDONLY || (flags & (O_PATH | O_DIRECTORY)))
        return false;
    const struct entry *e = find_entry(dirfd, path, &directory);
    if (!e)
        return false;
    bool served = true;
    if (e->content) {
        struct buf content = {0};
        e->content(p, directory, e->name, &content);
        *result = open_content(e->name, &content, flags);
        buf_release(&content);
    } else {
        char target[PATH_SIZE];
        served = !(flags & O_NOFOLLOW) && exe_target(p, directory, target);
        int fd = served ? open(target, flags & ~(O_CREAT | O_EXCL)) : -1;
        *result = fd < 0 ? -errno : fd;
    }
    close(directory);
    return served;
}

bool procfs_readlink(struct process *p, int dirfd, const char *path, char *target, size_t size,
                     int64_t *result)
{
    char whole[PATH_SIZE];
    if (!procfs_follow(p, dirfd, path, whole))
        return false;
    size_t length = MIN(strlen(whole), size);
    memcpy(target, whole, length);
    *result = size ? (int64_t)length : -EINVAL;
    return true;
}
