/* Opening what is there: paths, command line, the machine's own disk. Making it: prepare.c. */
#include "vm/bootable.h"

#include "base/error.h"
#include "vm/image.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static int out_of_memory(struct guise_error *err)
{
    return error_set(err, GUISE_E_NOMEM, "out of memory");
}

/* ---- Copies of disks ---- */

/* [from, to) of one file to the same place in another. */
static bool copy_range(int in, int out, off_t from, off_t to)
{
    while (from < to) {
        loff_t source = from, target = from;
        ssize_t n = copy_file_range(in, &source, out, &target, (size_t)(to - from), 0);
        if (n <= 0)
            return false;
        from += n;
    }
    return true;
}

/* Where there is nothing, the copy has nothing, either. */
static bool copy_data(int in, int out, off_t length)
{
    if (ftruncate(out, length))
        return false;
    for (off_t at = 0; at < length;) {
        off_t data = lseek(in, at, SEEK_DATA), hole;
        if (data < 0)
            return errno == ENXIO; /* nothing but a hole follows */
        hole = lseek(in, data, SEEK_HOLE);
        if (hole < 0 || !copy_range(in, out, data, hole))
            return false;
        at = hole;
    }
    return true;
}

/* By sharing blocks, where the file system can. */
static bool copy_disk(int in, int out)
{
    struct stat st;
    return ioctl(out, FICLONE, in) == 0 || (fstat(in, &st) == 0 && copy_data(in, out, st.st_size));
}

/* The copy appears under its name complete or not at all. */
static int make_own_disk(const char *root, const char *disk, struct guise_error *err)
{
    char *work;
    if (access(disk, F_OK) == 0)
        return 0;
    if (asprintf(&work, "%s.%d", disk, getpid()) < 0)
        return out_of_memory(err);
    int in = open(root, O_RDONLY | O_CLOEXEC),
        out = open(work, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool made = in >= 0 && out >= 0 && copy_disk(in, out) && rename(work, disk) == 0;
    int error = errno;
    if (!made)
        unlink(work);
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    free(work);
    return made ? 0 : error_set_errno(err, GUISE_E_IO, error, "cannot make the machine's disk %s", disk);
}

static int make_temporary_disk(struct bootable *b, const char *directory, const char *root,
                               struct guise_error *err)
{
    int in = open(root, O_RDONLY | O_CLOEXEC), out = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    bool made = in >= 0 && out >= 0 && copy_disk(in, out);
    int error = errno;
    if (in >= 0)
        close(in);
    if (out >= 0)
        b->temporary = out;
    if (!made)
        return error_set_errno(err, GUISE_E_IO, error, "cannot make a temporary disk in %s", directory);
    return asprintf(&b->disk, "/proc/self/fd/%d", out) < 0 ? out_of_memory(err) : 0;
}

/* ---- The whole ---- */

static int find_disk(struct bootable *b, const struct guise_vm *vm, const char *directory,
                     struct guise_error *err)
{
    char *root;
    if (asprintf(&root, "%s/root", directory) < 0)
        return out_of_memory(err);
    int r;
    if (vm->temporary && strcmp(vm->temporary, "on") == 0)
        r = make_temporary_disk(b, directory, root, err);
    else if (asprintf(&b->disk, "%s/disk", directory) < 0)
        r = out_of_memory(err);
    else
        r = make_own_disk(root, b->disk, err);
    free(root);
    return r;
}

/* Both consoles when there are two; the last one is the kernel's first. A panic ends the machine (machine/sbi_board.c). */
static bool make_append(struct bootable *b, const struct guise_vm *vm)
{
    return asprintf(&b->append, "root=/dev/vda rw quiet panic=-1 reboot=panic_warm console=ttyS0%s%s%s",
                    vm->console ? " console=hvc0" : "", vm->append ? " " : "",
                    vm->append ? vm->append : "") >= 0;
}

static int open_paths(struct bootable *b, const struct guise_vm *vm, const char *directory,
                      struct guise_error *err)
{
    if (access(directory, F_OK))
        return error_set(err, GUISE_E_NOTFOUND,
                         "image %s is not prepared for booting: guise image pull --boot %s", vm->image,
                         vm->image);
    if (asprintf(&b->kernel, "%s/kernel", directory) < 0 ||
        asprintf(&b->initrd, "%s/initrd", directory) < 0 || !make_append(b, vm))
        return out_of_memory(err);
    return find_disk(b, vm, directory, err);
}

int bootable_open(struct bootable *b, const struct guise_vm *vm, struct guise_error *err)
{
    struct image_paths paths;
    int r = image_paths_init(&paths, vm->image, err);
    if (r == 0)
        r = open_paths(b, vm, paths.boot, err);
    image_paths_release(&paths);
    return r;
}

void bootable_release(struct bootable *b)
{
    if (b->temporary)
        close(b->temporary);
    free(b->kernel);
    free(b->initrd);
    free(b->disk);
    free(b->append);
}
