/* Raw disk images: files and block devices of the host, byte by byte the guest's disk. What the host has in memory is
 * read at once, all else by threads of the backend's.
 *
 * Source of what a flush promises: fdatasync(2). Once one has failed the host may have dropped what it could not write,
 * so each later flush fails too. */
#ifndef BLOCK_RAW_H
#define BLOCK_RAW_H

#include "block/block.h"

#include <guise.h>

/* Opens and locks an image: one writer or several readers at a time. *block gets an owned backend. GUISE_E_CONFIG when
 * the file is no disk or is in use, GUISE_E_IO when it cannot be opened. */
int block_raw_open(struct block **block, const char *path, bool read_only, struct guise_error *err);

#endif
