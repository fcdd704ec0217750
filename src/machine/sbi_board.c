/* What concerns the board: SRST, DBCN. */
#include "base/util.h"
#include "machine/sbi.h"

#include <string.h>

/* ---- SRST: chapter 10 ---- */

enum {
    RESET_SHUTDOWN = 0,
    RESET_COLD_REBOOT = 1,
    RESET_WARM_REBOOT = 2,
    REASON_NONE = 0,
    REASON_FAILURE = 1,
};
#define RESET_VENDOR    UINT32_C(0xf0000000) /* and above: types of the platform's own */
#define REASON_SPECIFIC UINT32_C(0xe0000000) /* and above: reasons of firmware and platform */

/* Linux gives no reason. With reboot=panic_warm it asks for another type of reset when it panics than else. */
static bool means_panic(const struct machine *m, uint32_t type)
{
    const char *append = m->config.files.append;
    return type == RESET_WARM_REBOOT && append && strstr(append, "reboot=panic_w");
}

static long system_reset(struct sbi_call *call)
{
    struct machine *m = call->hart->machine;
    uint32_t type = (uint32_t)call->argument[0], reason = (uint32_t)call->argument[1];
    if (type >= RESET_VENDOR || reason >= REASON_SPECIFIC)
        return SBI_ERR_NOT_SUPPORTED;
    if (type > RESET_WARM_REBOOT || reason > REASON_FAILURE)
        return SBI_ERR_INVALID_PARAM;
    enum machine_end end = reason == REASON_FAILURE || means_panic(m, type) ? MACHINE_FAILURE
                           : type == RESET_SHUTDOWN                         ? MACHINE_POWER_OFF
                                                                            : MACHINE_REBOOT;
    machine_stop(m, end);
    call->elsewhere = true;
    return SBI_SUCCESS;
}

static const sbi_function srst_functions[] = {system_reset};
const struct sbi_extension sbi_srst = {0x53525354, ARRAY_SIZE(srst_functions), srst_functions};

/* ---- DBCN: chapter 12. The console is the UART, which is polled. ---- */

enum {
    UART_DATA = 0,
    UART_LCR = 3,
    UART_LSR = 5,
    LCR_DLAB = 0x80,
    LSR_READY = 0x01,
    LSR_THRE = 0x20,
    TURN = 4096, /* bytes of a call at most, which may do less than it is asked to */
};

static uint8_t uart_get(struct board *b, unsigned number)
{
    uint64_t value = 0;
    bus_read(&b->bus, LAYOUT_UART + number, 1, &value);
    return (uint8_t)value;
}

/* Is a bit of the line status set, and the data register what it says? */
static bool uart_is(struct board *b, uint8_t status)
{
    return !(uart_get(b, UART_LCR) & LCR_DLAB) && uart_get(b, UART_LSR) & status;
}

static bool put(struct board *b, uint8_t byte)
{
    return uart_is(b, LSR_THRE) && bus_write(&b->bus, LAYOUT_UART + UART_DATA, 1, byte) == BUS_OK;
}

static bool get(struct board *b, uint8_t *byte)
{
    if (!uart_is(b, LSR_READY))
        return false;
    *byte = uart_get(b, UART_DATA);
    return true;
}

/* The guest's memory that a call names: length, address, upper half of the address. */
static uint8_t *buffer(const struct sbi_call *call, enum gmem_use use)
{
    if (call->argument[2])
        return NULL;
    return gmem_slice(&call->hart->machine->board->memory, call->argument[1], call->argument[0], use);
}

static long console_write_bytes(struct sbi_call *call)
{
    const uint8_t *from = buffer(call, GMEM_READ);
    if (!from)
        return SBI_ERR_INVALID_PARAM;
    while (call->value < MIN(call->argument[0], (uint64_t)TURN) &&
           put(call->hart->machine->board, from[call->value]))
        call->value++;
    return SBI_SUCCESS;
}

static long console_read_bytes(struct sbi_call *call)
{
    uint8_t *to = buffer(call, GMEM_WRITE);
    if (!to)
        return SBI_ERR_INVALID_PARAM;
    while (call->value < MIN(call->argument[0], (uint64_t)TURN) &&
           get(call->hart->machine->board, &to[call->value]))
        call->value++;
    gmem_mark(&call->hart->machine->board->memory, call->argument[1], call->value);
    return SBI_SUCCESS;
}

static long console_write_byte(struct sbi_call *call)
{
    return put(call->hart->machine->board, (uint8_t)call->argument[0]) ? SBI_SUCCESS : SBI_ERR_FAILED;
}

static const sbi_function dbcn_functions[] = {console_write_bytes, console_read_bytes, console_write_byte};
const struct sbi_extension sbi_dbcn = {0x4442434e, ARRAY_SIZE(dbcn_functions), dbcn_functions};
