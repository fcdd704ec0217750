/* Where images are kept, and by which names.
 *
 *   <data>/images/debian/trixie        the root directory of "debian:trixie"
 *   <data>/images/debian/.trixie.new   one that is being made
 *   <data>/images/debian/.trixie.lock  held by who makes or removes it
 *   <data>/images/debian/.trixie.boot  what a machine boots of it (bootable.h); .trixie.boot.new while it is made
 *   <data>/images/debian/.trixie.log   debootstrap's log of the last pull that failed
 *
 * Threads: any. */
#ifndef VM_IMAGE_H
#define VM_IMAGE_H

#include <guise.h>
#include <stdbool.h>

/* Paths of one image, all owned by the object: image_paths_init() ... image_paths_release(). */
struct image_paths {
    char *group; /* .../images/debian */
    char *final, *work, *lock, *log, *boot, *boot_work;
};

/* Checks the name ("debian:trixie"; without ":TAG" the tag is "latest"). */
int image_paths_init(struct image_paths *paths, const char *name, struct guise_error *err);
void image_paths_release(struct image_paths *paths);

/* Takes the lock of an image, making its folder when `make` is set. Returns a descriptor or a GUISE_E... code. */
int image_lock(const struct image_paths *paths, const char *name, bool make, struct guise_error *err);

/* The root directory that a user means: a path with a slash, a directory, or an image's name. Stores an owned path. */
int image_find_root(const char *text, char **directory, struct guise_error *err);

/* Removes a directory with all that is in it, also files of ids that only a user namespace has. */
int image_remove_tree(const char *path, struct guise_error *err);

/* What a machine boots of the image, its disk included. */
int image_remove_boot(const struct image_paths *paths, struct guise_error *err);

#endif
