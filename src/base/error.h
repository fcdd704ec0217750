/* Errors of control paths: a code from guise.h's list and a line for a person.
 * Threads: a struct guise_error belongs to its caller. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <guise.h>

/* Fills *err (which may be NULL) with printf-like text and returns `code`. */
int error_set(struct guise_error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As error_set(), followed by ": " and the text of the host's errno value `error`. */
int error_set_errno(struct guise_error *err, int code, int error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
