#include "devices/uart.h"

#include <string.h>

/* Register offsets; the second name is that of what is written, DLL and DLM lie there while LCR_DLAB is set. */
enum { RBR_THR, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR };

enum { IER_RECEIVED = 1, IER_EMPTY = 2, IER_LINE = 4, IER_MODEM = 8 };
enum {
    IIR_MODEM = 0,
    IIR_NONE = 1,
    IIR_EMPTY = 2,
    IIR_RECEIVED = 4,
    IIR_LINE = 6,
    IIR_TIMEOUT = 12,
    IIR_FIFO = 0xc0
};
enum { FCR_ENABLE = 1, FCR_CLEAR_RX = 2, FCR_CLEAR_TX = 4, FCR_TRIGGER_SHIFT = 6, FCR_KEPT = 0xc9 };
enum { LCR_LENGTH = 3, LCR_TWO_STOP = 4, LCR_PARITY = 8, LCR_DLAB = 0x80 };
enum { MCR_DTR = 1, MCR_RTS = 2, MCR_OUT1 = 4, MCR_OUT2 = 8, MCR_LOOP = 0x10, MCR_KEPT = 0x1f };
enum { LSR_READY = 1, LSR_OVERRUN = 2, LSR_THR_EMPTY = 0x20, LSR_EMPTY = 0x40 };
enum { MSR_CTS = 0x10, MSR_DSR = 0x20, MSR_RI = 0x40, MSR_DCD = 0x80 };

enum { DIVISOR_RESET = UART_FREQUENCY / 16 / 9600 };

/* ---- FIFOs ---- */

static bool fifo_enabled(const struct uart *u)
{
    return u->fcr & FCR_ENABLE;
}

/* Without FIFOs there is the one holding register. */
static unsigned fifo_capacity(const struct uart *u)
{
    return fifo_enabled(u) ? UART_FIFO : 1;
}

static unsigned fifo_room(const struct uart *u, const struct uart_fifo *f)
{
    return f->count < fifo_capacity(u) ? fifo_capacity(u) - f->count : 0;
}

static void fifo_put(struct uart_fifo *f, uint8_t byte)
{
    f->data[(f->head + f->count++) % UART_FIFO] = byte;
}

static uint8_t fifo_get(struct uart_fifo *f)
{
    uint8_t byte = f->data[f->head];
    f->head = (uint8_t)((f->head + 1) % UART_FIFO);
    f->count--;
    return byte;
}

/* ---- Interrupts ---- */

static bool reached_trigger(const struct uart *u)
{
    static const uint8_t levels[] = {1, 4, 8, 14};
    return u->rx.count >= (fifo_enabled(u) ? levels[u->fcr >> FCR_TRIGGER_SHIFT] : 1);
}

/* What IIR says: the most important interrupt that is enabled and pending. */
static uint8_t interrupt(const struct uart *u)
{
    if (u->ier & IER_LINE && u->overrun)
        return IIR_LINE;
    if (u->ier & IER_RECEIVED && reached_trigger(u))
        return IIR_RECEIVED;
    if (u->ier & IER_RECEIVED && u->timeout_pending)
        return IIR_TIMEOUT;
    if (u->ier & IER_EMPTY && u->thr_pending)
        return IIR_EMPTY;
    if (u->ier & IER_MODEM && u->changed)
        return IIR_MODEM;
    return IIR_NONE;
}

static void update_irq(struct uart *u)
{
    irq_set(&u->irq, interrupt(u) != IIR_NONE);
}

/* ---- The receiver's time-out ---- */

/* Four characters as they are set up: start, data, parity and stop bits. */
static uint64_t timeout_length(const struct uart *u)
{
    unsigned data = 5 + (u->lcr & LCR_LENGTH), parity = u->lcr & LCR_PARITY ? 1 : 0,
             stop = u->lcr & LCR_TWO_STOP ? 2 : 1;
    uint64_t bits = 1 + data + parity + stop;
    return 4 * bits * 16 * u->divisor * CLOCK_PER_SECOND / UART_FREQUENCY;
}

static void timeout_set(struct uart *u, uint64_t at)
{
    u->timeout_at = at;
    clock_timer_set(&u->timer, at);
}

/* A character came or went: the time-out begins anew when some are left. */
static void timeout_restart(struct uart *u)
{
    bool wait = fifo_enabled(u) && u->rx.count;
    u->timeout_pending = false;
    if (wait || u->timeout_at != CLOCK_NEVER)
        timeout_set(u, wait ? clock_now(u->clock) + timeout_length(u) : CLOCK_NEVER);
}

static void timeout_expire(void *device)
{
    struct uart *u = device;
    u->timeout_at = CLOCK_NEVER;
    u->timeout_pending = true;
    update_irq(u);
}

/* ---- Sending ---- */

static void transmit(struct uart *u)
{
    while (u->tx.count && console_write(u->console, &u->tx.data[u->tx.head], 1))
        fifo_get(&u->tx);
    if (!u->tx.count)
        u->thr_pending = true;
}

/* A full FIFO keeps what it has, the holding register takes what is new. */
static void receive_own(struct uart *u, uint8_t byte)
{
    bool full = !fifo_room(u, &u->rx);
    u->overrun |= full;
    if (full && !fifo_enabled(u))
        fifo_get(&u->rx);
    if (!full || !fifo_enabled(u))
        fifo_put(&u->rx, byte);
    u->thr_pending = true;
    timeout_restart(u);
}

/* What is written to a full FIFO is lost. */
static void write_thr(struct uart *u, uint8_t byte)
{
    u->thr_pending = false;
    if (u->mcr & MCR_LOOP) {
        receive_own(u, byte);
        return;
    }
    if (fifo_room(u, &u->tx))
        fifo_put(&u->tx, byte);
    transmit(u);
}

static void on_writable(void *client)
{
    struct uart *u = client;
    if (!u->tx.count)
        return;
    transmit(u);
    update_irq(u);
}

/* ---- Receiving ---- */

static size_t on_receive(void *client, const uint8_t *data, size_t length)
{
    struct uart *u = client;
    size_t taken = 0;
    if (u->mcr & MCR_LOOP)
        return 0;
    while (taken < length && fifo_room(u, &u->rx))
        fifo_put(&u->rx, data[taken++]);
    if (taken) {
        timeout_restart(u);
        update_irq(u);
    }
    return taken;
}

static const struct console_client_ops client_ops = {.receive = on_receive, .writable = on_writable};

static uint8_t read_rbr(struct uart *u)
{
    uint8_t byte = u->rx.count ? fifo_get(&u->rx) : 0;
    timeout_restart(u);
    if (!u->rx.count)
        console_resume(u->console);
    return byte;
}

/* ---- Line and modem ---- */

static uint8_t read_lsr(struct uart *u)
{
    uint8_t value = u->overrun ? LSR_OVERRUN : 0;
    value |= u->rx.count ? LSR_READY : 0;
    value |= u->tx.count ? 0 : LSR_THR_EMPTY | LSR_EMPTY;
    u->overrun = false;
    return value;
}

static uint8_t modem_lines(uint8_t mcr)
{
    if (!(mcr & MCR_LOOP))
        return MSR_CTS | MSR_DSR | MSR_DCD;
    return (uint8_t)((mcr & MCR_RTS ? MSR_CTS : 0) | (mcr & MCR_DTR ? MSR_DSR : 0) |
                     (mcr & MCR_OUT1 ? MSR_RI : 0) | (mcr & MCR_OUT2 ? MSR_DCD : 0));
}

/* Of the ring indicator only the end is told. */
static void write_mcr(struct uart *u, uint8_t value)
{
    bool looped = u->mcr & MCR_LOOP;
    unsigned old = modem_lines(u->mcr), new = modem_lines(value);
    unsigned told = ((old ^ new) & ~(unsigned)MSR_RI) | (old & ~new &MSR_RI);
    u->mcr = value & MCR_KEPT;
    u->changed |= (uint8_t)(told >> 4);
    if (looped && !(u->mcr & MCR_LOOP))
        console_resume(u->console);
}

static uint8_t read_msr(struct uart *u)
{
    uint8_t value = modem_lines(u->mcr) | u->changed;
    u->changed = 0;
    return value;
}

/* ---- Set-up ---- */

static void clear_rx(struct uart *u)
{
    u->rx = (struct uart_fifo){0};
    timeout_restart(u);
    console_resume(u->console);
}

static void clear_tx(struct uart *u)
{
    u->tx = (struct uart_fifo){0};
    u->thr_pending = true;
}

/* The FIFOs are emptied when they are switched on or off, and nothing else is taken over while they are off. */
static void write_fcr(struct uart *u, uint8_t value)
{
    bool change = (value ^ u->fcr) & FCR_ENABLE;
    u->fcr = value & FCR_ENABLE ? value & FCR_KEPT : 0;
    if (change || value & FCR_CLEAR_RX)
        clear_rx(u);
    if (change || value & FCR_CLEAR_TX)
        clear_tx(u);
}

static uint8_t read_iir(struct uart *u)
{
    uint8_t value = interrupt(u);
    if (value == IIR_EMPTY)
        u->thr_pending = false;
    return value | (fifo_enabled(u) ? IIR_FIFO : 0);
}

/* Switching the interrupt on tells of a transmitter that is empty already. */
static void write_ier(struct uart *u, uint8_t value)
{
    if (value & ~u->ier & IER_EMPTY && !u->tx.count)
        u->thr_pending = true;
    u->ier = value & (IER_RECEIVED | IER_EMPTY | IER_LINE | IER_MODEM);
}

static void write_divisor(struct uart *u, unsigned shift, uint8_t value)
{
    u->divisor = (uint16_t)((u->divisor & ~(0xff << shift)) | value << shift);
}

/* ---- Registers ---- */

static uint8_t read_register(struct uart *u, uint64_t offset)
{
    bool dlab = u->lcr & LCR_DLAB;
    switch (offset) {
    case RBR_THR: return dlab ? (uint8_t)u->divisor : read_rbr(u);
    case IER: return dlab ? (uint8_t)(u->divisor >> 8) : u->ier;
    case IIR_FCR: return read_iir(u);
    case LCR: return u->lcr;
    case MCR: return u->mcr;
    case LSR: return read_lsr(u);
    case MSR: return read_msr(u);
    case SCR: return u->scratch;
    default: return 0;
    }
}

static void write_register(struct uart *u, uint64_t offset, uint8_t value)
{
    bool dlab = u->lcr & LCR_DLAB;
    switch (offset) {
    case RBR_THR: dlab ? write_divisor(u, 0, value) : write_thr(u, value); break;
    case IER: dlab ? write_divisor(u, 8, value) : write_ier(u, value); break;
    case IIR_FCR: write_fcr(u, value); break;
    case LCR: u->lcr = value; break;
    case MCR: write_mcr(u, value); break;
    case SCR: u->scratch = value; break;
    default: break;
    }
}

static enum bus_result access(void *device, struct bus_access *a)
{
    struct uart *u = device;
    if (a->is_write)
        write_register(u, a->address, (uint8_t)a->value);
    else
        a->value = read_register(u, a->address);
    update_irq(u);
    return BUS_OK;
}

/* A wider access is one of the register at its address, as programs without a data sheet expect. */
static const struct bus_ops ops = {.access = access, .sizes = 1 | 2 | 4 | 8};

/* ---- Life ---- */

void uart_reset(struct uart *u)
{
    pthread_mutex_lock(&u->lock);
    u->ier = u->fcr = u->lcr = u->mcr = u->scratch = u->changed = 0;
    u->divisor = DIVISOR_RESET;
    u->overrun = u->thr_pending = u->timeout_pending = false;
    u->rx = u->tx = (struct uart_fifo){0};
    timeout_set(u, CLOCK_NEVER);
    update_irq(u);
    console_resume(u->console);
    pthread_mutex_unlock(&u->lock);
}

void uart_init(struct uart *u, struct irq_line irq, struct clock *clock, struct console *console)
{
    *u = (struct uart){.irq = irq, .clock = clock, .console = console};
    u->region = (struct bus_region){
        .name = "uart", .length = UART_LENGTH, .ops = &ops, .device = u, .lock = &u->lock};
    pthread_mutex_init(&u->lock, NULL);
    clock_timer_init(&u->timer, clock, &u->lock, timeout_expire, u);
    console_attach(console, &client_ops, u, &u->lock);
    uart_reset(u);
}

void uart_release(struct uart *u)
{
    clock_timer_set(&u->timer, CLOCK_NEVER);
    console_attach(u->console, NULL, NULL, NULL);
    pthread_mutex_destroy(&u->lock);
}

/* ---- State ---- */

static const struct state_field fifo_fields[] = {
    F_U8(struct uart_fifo, data),
    F_U8(struct uart_fifo, head, .max = UART_FIFO - 1),
    F_U8(struct uart_fifo, count, .max = UART_FIFO),
};

const struct state_table uart_fifo_state = {
    .name = "uart-fifo", .version = 1, .size = sizeof(struct uart_fifo), STATE_FIELDS(fifo_fields)};

static const struct state_field fields[] = {
    F_TRANSIENT(struct uart, region),
    F_TRANSIENT(struct uart, lock),
    F_TRANSIENT(struct uart, irq),
    F_TRANSIENT(struct uart, console),
    F_TRANSIENT(struct uart, clock),
    F_TRANSIENT(struct uart, timer),
    F_U8(struct uart, ier, .max = 15),
    F_U8(struct uart, fcr),
    F_U8(struct uart, lcr),
    F_U8(struct uart, mcr, .max = MCR_KEPT),
    F_U8(struct uart, scratch),
    F_U8(struct uart, changed, .max = 15),
    F_U16(struct uart, divisor),
    F_BOOL(struct uart, overrun),
    F_BOOL(struct uart, thr_pending),
    F_BOOL(struct uart, timeout_pending),
    F_U64(struct uart, timeout_at),
    F_STRUCT(struct uart, rx, struct uart_fifo, uart_fifo_state),
    F_STRUCT(struct uart, tx, struct uart_fifo, uart_fifo_state),
};

static bool check(const void *object)
{
    const struct uart *u = object;
    return !(u->fcr & ~FCR_KEPT) && (u->fcr & FCR_ENABLE || !u->fcr) && u->rx.count <= fifo_capacity(u) &&
           u->tx.count <= fifo_capacity(u);
}

static void loaded(void *object)
{
    struct uart *u = object;
    clock_timer_set(&u->timer, u->timeout_at);
    on_writable(u);
    update_irq(u);
    console_resume(u->console);
}

const struct state_table uart_state = {.name = "uart",
                                       .version = 1,
                                       .size = sizeof(struct uart),
                                       STATE_FIELDS(fields),
                                       .check = check,
                                       .loaded = loaded};
