#include "base/error.h"

#include <stdarg.h>
#include <string.h>

static const struct {
    int code, status;
    const char *name, *text;
} errors[] = {
#define GUISE_X(name, code, status, text) {code, status, #name, text},
    GUISE_ERRORS(GUISE_X)
#undef GUISE_X
};

#define ERROR_COUNT (int)(sizeof(errors) / sizeof(errors[0]))

const char *guise_error_name(int code)
{
    return code < 0 && -code <= ERROR_COUNT ? errors[-code - 1].name : "GUISE_OK";
}

const char *guise_error_text(int code)
{
    return code < 0 && -code <= ERROR_COUNT ? errors[-code - 1].text : "no error";
}

int guise_error_status(int code)
{
    return code < 0 && -code <= ERROR_COUNT ? errors[-code - 1].status : 0;
}

int error_set(struct guise_error *err, int code, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        vsnprintf(err->text, sizeof(err->text), format, args);
        va_end(args);
        err->code = code;
    }
    return code;
}

int error_set_errno(struct guise_error *err, int code, int error, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        int n = vsnprintf(err->text, sizeof(err->text), format, args);
        va_end(args);
        if (n >= 0 && (size_t)n < sizeof(err->text))
            snprintf(err->text + n, sizeof(err->text) - (size_t)n, ": %s", strerror(error));
        err->code = code;
    }
    return code;
}
