/* One fax between two libspandsp T.38 terminals, packets handed over in memory, time made up: the C engine at its best.
 *
 * spandsp_pair SENT.tif RECEIVED.tif COUNT
 *
 * Sends SENT.tif COUNT times and prints the CPU seconds of all faxes and how many were OK. Only prototypes are needed, so
 * that it compiles without the headers of libspandsp-dev 0.0.6; bench/engine.py compiles and runs it.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef int (*tx_packet)(void *core, void *user, const uint8_t *octets, int length, int copies);
typedef void (*phase_e)(void *t30, void *user, int code);

#define NEED(result, name, arguments) static result(*name) arguments
NEED(void *, t38_terminal_init, (void *, int, tx_packet, void *));
NEED(int, t38_terminal_send_timeout, (void *, int));
NEED(void *, t38_terminal_get_t30_state, (void *));
NEED(void *, t38_terminal_get_t38_core_state, (void *));
NEED(int, t38_terminal_free, (void *));
NEED(int, t38_core_rx_ifp_packet, (void *, const uint8_t *, int, uint16_t));
NEED(void, t30_set_tx_file, (void *, const char *, int, int));
NEED(void, t30_set_rx_file, (void *, const char *, int));
NEED(int, t30_set_rx_encoding, (void *, int));
NEED(int, t30_set_ecm_capability, (void *, int));
NEED(int, t30_set_supported_modems, (void *, int));
NEED(int, t30_set_supported_compressions, (void *, int));
NEED(int, t30_set_supported_resolutions, (void *, int));
NEED(int, t30_set_supported_image_sizes, (void *, int));
NEED(void, t30_set_phase_e_handler, (void *, phase_e, void *));

struct end {
    void *terminal, *core, *t30;
    struct end *peer;
    uint16_t sequence;
    int done, code;
};

/* Packets wait here until the sender's step is over: delivering inside the callback would nest the two engines. */
struct packet { struct end *to; int length; uint8_t octets[1024]; };
static struct packet queue[256];
static int queued;

static int on_packet(void *core, void *user, const uint8_t *octets, int length, int copies)
{
    struct end *end = user;
    (void)core;
    (void)copies; /* the line loses nothing: one is enough */
    if (queued < 256 && length <= 1024) {
        queue[queued].to = end->peer;
        queue[queued].length = length;
        memcpy(queue[queued++].octets, octets, length);
    }
    return 0;
}

static void on_end(void *t30, void *user, int code)
{
    struct end *end = user;
    (void)t30;
    end->done = 1;
    end->code = code;
}

static void make(struct end *end, struct end *peer, int caller, const char *file)
{
    memset(end, 0, sizeof *end);
    end->peer = peer;
    end->terminal = t38_terminal_init(NULL, caller, on_packet, end);
    end->core = t38_terminal_get_t38_core_state(end->terminal);
    end->t30 = t38_terminal_get_t30_state(end->terminal);
    t30_set_ecm_capability(end->t30, 1);
    t30_set_supported_modems(end->t30, 0x07);
    t30_set_supported_compressions(end->t30, 0x0E);
    t30_set_supported_resolutions(end->t30, 0x20003);
    t30_set_supported_image_sizes(end->t30, 0x30001);
    if (caller) {
        t30_set_tx_file(end->t30, file, -1, -1);
    } else {
        t30_set_rx_file(end->t30, file, -1);
        t30_set_rx_encoding(end->t30, 3);
    }
    t30_set_phase_e_handler(end->t30, on_end, end);
}

static void deliver(void)
{
    for (int i = 0; i < queued; i++) {
        struct end *to = queue[i].to;
        t38_core_rx_ifp_packet(to->core, queue[i].octets, queue[i].length, to->sequence++);
    }
    queued = 0;
}

static int fax(const char *sent, const char *received)
{
    struct end caller, called;
    make(&caller, &called, 1, sent);
    make(&called, &caller, 0, received);
    /* 20 ms a step, as the servers drive it; an hour of made-up time at most */
    for (int step = 0; step < 180000 && !(caller.done && called.done); step++) {
        t38_terminal_send_timeout(caller.terminal, 160);
        deliver();
        t38_terminal_send_timeout(called.terminal, 160);
        deliver();
    }
    int ok = caller.done && called.done && caller.code == 0 && called.code == 0;
    t38_terminal_free(caller.terminal);
    t38_terminal_free(called.terminal);
    return ok;
}

static void *find(void *library, const char *name)
{
    void *found = dlsym(library, name);
    if (!found) {
        fprintf(stderr, "%s is missing in libspandsp\n", name);
        exit(1);
    }
    return found;
}

int main(int argc, char **argv)
{
    void *library = dlopen("libspandsp.so.2", RTLD_NOW);
    if (!library || argc != 4) {
        fprintf(stderr, "usage: spandsp_pair SENT.tif RECEIVED.tif COUNT (needs libspandsp.so.2)\n");
        return 2;
    }
#define FIND(name) *(void **)&name = find(library, #name)
    FIND(t38_terminal_init); FIND(t38_terminal_send_timeout); FIND(t38_terminal_get_t30_state);
    FIND(t38_terminal_get_t38_core_state); FIND(t38_terminal_free); FIND(t38_core_rx_ifp_packet);
    FIND(t30_set_tx_file); FIND(t30_set_rx_file); FIND(t30_set_rx_encoding); FIND(t30_set_ecm_capability);
    FIND(t30_set_supported_modems); FIND(t30_set_supported_compressions); FIND(t30_set_supported_resolutions);
    FIND(t30_set_supported_image_sizes); FIND(t30_set_phase_e_handler);
    int count = atoi(argv[3]), ok = 0;
    clock_t began = clock();
    for (int i = 0; i < count; i++)
        ok += fax(argv[1], argv[2]);
    printf("%.6f %d\n", (double)(clock() - began) / CLOCKS_PER_SEC, ok);
    return ok == count ? 0 : 1;
}
