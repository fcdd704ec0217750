#include "vm/image.h"

#include "base/error.h"
#include "vm/userns.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Stores the owned path of the directory that holds all images. */
static int images_directory(char **path, struct guise_error *err)
{
    const char *data = getenv("GUISE_DATA"), *xdg = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    int n;
    if (data && *data)
        n = asprintf(path, "%s/images", data);
    else if (xdg && *xdg == '/')
        n = asprintf(path, "%s/guise/images", xdg);
    else if (home && *home == '/')
        n = asprintf(path, "%s/.local/share/guise/images", home);
    else
        return error_set(err, GUISE_E_CONFIG, "no place for images: set HOME, XDG_DATA_HOME or GUISE_DATA");
    return n < 0 ? error_set(err, GUISE_E_NOMEM, "out of memory") : 0;
}

/* A part of a name becomes a file name: nothing hidden, nothing that leads elsewhere. */
static bool name_part_valid(const char *part, size_t length)
{
    if (length == 0 || length > 60 || !isalnum((unsigned char)part[0]))
        return false;
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)part[i]) && !strchr("._-", part[i]))
            return false;
    return true;
}

int image_paths_init(struct image_paths *paths, const char *name, struct guise_error *err)
{
    *paths = (struct image_paths){0};
    size_t group = strcspn(name, ":");
    const char *tag = name[group] ? name + group + 1 : "latest";
    if (!name_part_valid(name, group) || !name_part_valid(tag, strlen(tag)))
        return error_set(err, GUISE_E_CONFIG, "'%s' is no name of an image: it must look like debian:trixie",
                         name);
    char *images;
    int r = images_directory(&images, err);
    if (r)
        return r;
    bool made = asprintf(&paths->group, "%s/%.*s", images, (int)group, name) >= 0 &&
                asprintf(&paths->final, "%s/%s", paths->group, tag) >= 0 &&
                asprintf(&paths->work, "%s/.%s.new", paths->group, tag) >= 0 &&
                asprintf(&paths->lock, "%s/.%s.lock", paths->group, tag) >= 0 &&
                asprintf(&paths->log, "%s/.%s.log", paths->group, tag) >= 0 &&
                asprintf(&paths->boot, "%s/.%s.boot", paths->group, tag) >= 0 &&
                asprintf(&paths->boot_work, "%s/.%s.boot.new", paths->group, tag) >= 0;
    free(images);
    return made ? 0 : error_set(err, GUISE_E_NOMEM, "out of memory");
}

void image_paths_release(struct image_paths *paths)
{
    free(paths->group);
    free(paths->final);
    free(paths->work);
    free(paths->lock);
    free(paths->log);
    free(paths->boot);
    free(paths->boot_work);
    *paths = (struct image_paths){0};
}

static int make_directories(const char *path, struct guise_error *err)
{
    char *copy = strdup(path);
    if (!copy)
        return error_set(err, GUISE_E_NOMEM, "out of memory");
    int r = 0;
    for (char *at = copy + 1; r == 0 && at; at = *at ? at + 1 : NULL) {
        at += strcspn(at, "/");
        char end = *at;
        *at = '\0';
        if (mkdir(copy, 0755) && errno != EEXIST)
            r = error_set_errno(err, GUISE_E_IO, errno, "cannot make the directory %s", copy);
        *at = end;
    }
    free(copy);
    return r;
}

/* A remover deletes the lock's file with the image: a lock on a deleted file is none. */
static bool lock_is_current(int fd, const char *path)
{
    struct stat held, named;
    return fstat(fd, &held) == 0 && stat(path, &named) == 0 && held.st_ino == named.st_ino;
}

int image_lock(const struct image_paths *paths, const char *name, bool make, struct guise_error *err)
{
    int r = make ? make_directories(paths->group, err) : 0;
    if (r)
        return r;
    for (;;) {
        int fd = open(paths->lock, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0)
            return error_set_errno(err, GUISE_E_IO, errno, "cannot make %s", paths->lock);
        bool locked = flock(fd, LOCK_EX | LOCK_NB) == 0;
        if (locked && lock_is_current(fd, paths->lock))
            return fd;
        close(fd);
        if (!locked)
            return error_set(err, GUISE_E_SYSTEM, "%s is being pulled or removed by another guise", name);
    }
}

static bool is_directory(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int image_find_root(const char *text, char **directory, struct guise_error *err)
{
    if (strchr(text, '/') || is_directory(text)) {
        *directory = realpath(text, NULL);
        if (!*directory)
            return error_set_errno(err, GUISE_E_NOTFOUND, errno, "no root directory %s", text);
        if (is_directory(*directory))
            return 0;
        free(*directory);
        return error_set(err, GUISE_E_CONFIG, "%s is no directory", text);
    }
    struct image_paths paths;
    int r = image_paths_init(&paths, text, err);
    if (r == 0 && !is_directory(paths.final))
        r = error_set(err, GUISE_E_NOTFOUND, "no image %s (make it: guise image pull %s)", text,
                      strncmp(text, "debian:", 7) == 0 ? text : "debian:trixie --name NAME");
    if (r == 0 && !(*directory = strdup(paths.final)))
        r = error_set(err, GUISE_E_NOMEM, "out of memory");
    image_paths_release(&paths);
    return r;
}

/* ---- Listing ---- */

struct image_array {
    struct guise_image *items;
    size_t count;
};

/* Takes `path`. */
static int array_add(struct image_array *array, const char *group, const char *tag, char *path)
{
    struct stat st;
    struct guise_image *items = realloc(array->items, (array->count + 1) * sizeof(*items));
    if (!items) {
        free(path);
        return GUISE_E_NOMEM;
    }
    array->items = items;
    struct guise_image *image = &items[array->count++];
    *image = (struct guise_image){.path = path, .created = stat(path, &st) == 0 ? st.st_mtime : 0};
    snprintf(image->name, sizeof(image->name), "%.60s:%.60s", group, tag);
    return 0;
}

/* Calls itself once to go from the groups to their members. */
static int list_directory(const char *path, const char *group, struct image_array *array)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;
    int r = 0;
    while (dir && r == 0 && (entry = readdir(dir))) {
        char *child;
        if (entry->d_name[0] == '.')
            continue;
        if (asprintf(&child, "%s/%s", path, entry->d_name) < 0) {
            r = GUISE_E_NOMEM;
        } else if (!is_directory(child)) {
            free(child);
        } else if (group) {
            r = array_add(array, group, entry->d_name, child);
        } else {
            r = list_directory(child, entry->d_name, array);
            free(child);
        }
    }
    if (dir)
        closedir(dir);
    return r;
}

static int compare_images(const void *a, const void *b)
{
    return strcmp(((const struct guise_image *)a)->name, ((const struct guise_image *)b)->name);
}

int guise_image_list(struct guise_image **images, size_t *count, struct guise_error *err)
{
    struct image_array array = {0};
    char *path;
    int r = images_directory(&path, err);
    if (r)
        return r;
    r = list_directory(path, NULL, &array);
    free(path);
    if (r) {
        guise_images_free(array.items, array.count);
        return error_set(err, r, "out of memory");
    }
    if (array.count)
        qsort(array.items, array.count, sizeof(array.items[0]), compare_images);
    *images = array.items;
    *count = array.count;
    return 0;
}

void guise_images_free(struct guise_image *images, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(images[i].path);
    free(images);
}

/* ---- Removing ---- */

/* Removes what is in the directory `fd`, which it takes. Symbolic links are not followed. */
static int remove_contents(int fd)
{
    int r = 0;
    DIR *dir = fdopendir(fd);
    const struct dirent *entry;
    if (!dir) {
        close(fd);
        return -1;
    }
    while (r == 0 && (entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(fd, entry->d_name, 0) == 0)
            continue;
        if (errno != EISDIR && errno != EPERM)
            return closedir(dir), -1;
        int child = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        r = child < 0 || remove_contents(child) || unlinkat(fd, entry->d_name, AT_REMOVEDIR) ? -1 : 0;
    }
    int error = errno;
    closedir(dir);
    errno = error;
    return r;
}

static int remove_tree(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    return remove_contents(fd) || rmdir(path) ? -1 : 0;
}

/* In a child: as root of a user namespace when the caller is not root, since files may belong to its other ids. */
static _Noreturn void remove_as_root(const char *path)
{
    bool single_id;
    if (geteuid() != 0)
        userns_enter(&single_id, NULL);
    _exit(remove_tree(path) ? errno & 0x7f : 0);
}

int image_remove_tree(const char *path, struct guise_error *err)
{
    int status, child = fork();
    if (child == 0)
        remove_as_root(path);
    if (child < 0 || waitpid(child, &status, 0) != child)
        return error_set_errno(err, GUISE_E_SYSTEM, errno, "cannot remove %s", path);
    if (status == 0)
        return 0;
    return error_set_errno(err, GUISE_E_IO, WIFEXITED(status) ? WEXITSTATUS(status) : EINTR,
                           "cannot remove %s", path);
}

int image_remove_boot(const struct image_paths *paths, struct guise_error *err)
{
    int r = image_remove_tree(paths->boot_work, err);
    if (r == 0 && rename(paths->boot, paths->boot_work) && errno != ENOENT)
        r = error_set_errno(err, GUISE_E_IO, errno, "cannot remove %s", paths->boot);
    return r ? r : image_remove_tree(paths->boot_work, err);
}

int guise_image_remove(const char *name, struct guise_error *err)
{
    struct image_paths paths;
    int r = image_paths_init(&paths, name, err);
    if (r == 0 && !is_directory(paths.final))
        r = error_set(err, GUISE_E_NOTFOUND, "no image %s", name);
    int lock = r == 0 ? image_lock(&paths, name, false, err) : -1;
    if (r == 0)
        r = lock < 0 ? lock : image_remove_tree(paths.work, err);
    if (r == 0)
        r = image_remove_boot(&paths, err);
    /* First out of sight, then away: an interrupted removal leaves no half image. */
    if (r == 0 && rename(paths.final, paths.work))
        r = error_set_errno(err, GUISE_E_IO, errno, "cannot remove %s", paths.final);
    if (r == 0)
        r = image_remove_tree(paths.work, err);
    if (lock >= 0) {
        unlink(paths.log);
        unlink(paths.lock);
        close(lock);
        rmdir(paths.group); /* stays when other images are in it */
    }
    image_paths_release(&paths);
    return r;
}
