#include "vm/disk.h"

#include "base/error.h"

#include <stdlib.h>

int disk_image_open(struct disk_image *image, const struct guise_vm *vm, struct guise_error *err)
{
    (void)image;
    return error_set(err, GUISE_E_UNSUPPORTED, "%s: images cannot be booted yet", vm->image);
}

void disk_image_release(struct disk_image *image)
{
    free(image->kernel);
    free(image->initrd);
    free(image->disk);
    free(image->append);
}
