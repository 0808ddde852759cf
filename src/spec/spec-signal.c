/* SPDX-License-Identifier: Apache-2.0 */
/* spec-signal.c - signals by name, by number and by the CRI's own numbers (which are not the
 * kernel's). Pure. Real-time signals are counted as the C library shows them: 34 to 64. */
#include <signal.h>

#include "spec/spec-internal.h"

/* As programs see them; SIGRTMIN itself is a function of the C library. */
enum { RTMIN = 34, RTMAX = 64 };

typedef struct SignalName {
        const char *name;
        int number;
        Runtime__V1__Signal cri;
} SignalName;

#define S(name)                                                                                    \
        {                                                                                          \
#name, SIG##name, RUNTIME__V1__SIGNAL__SIG##name                                   \
        }
static const SignalName signal_names[] = {
        S(ABRT), S(ALRM),   S(BUS),  S(CHLD),   S(CLD),   S(CONT), S(FPE),  S(HUP),  S(ILL),
        S(INT),  S(IO),     S(IOT),  S(KILL),   S(PIPE),  S(POLL), S(PROF), S(PWR),  S(QUIT),
        S(SEGV), S(STKFLT), S(STOP), S(SYS),    S(TERM),  S(TRAP), S(TSTP), S(TTIN), S(TTOU),
        S(URG),  S(USR1),   S(USR2), S(VTALRM), S(WINCH), S(XCPU), S(XFSZ),
};
#undef S

/* "RTMIN", "RTMIN+3", "RTMAX-2": 0 when it is not one of them. */
static int parse_realtime(const char *s)
{
        const char *rest = str_skip_prefix(s, "RTMIN");
        bool up = rest != NULL;
        if (!rest)
                rest = str_skip_prefix(s, "RTMAX");
        if (!rest)
                return 0;
        uint32_t n = 0;
        if (*rest) {
                if (*rest != (up ? '+' : '-') || str_to_u32(rest + 1, &n) < 0 || n > RTMAX - RTMIN)
                        return 0;
        }
        return up ? RTMIN + (int)n : RTMAX - (int)n;
}

int spec_signal_parse(const char *s)
{
        if (str_empty(s) || strlen(s) > 16)
                return -EINVAL;
        uint32_t number = 0;
        if (str_to_u32(s, &number) == 0)
                return number >= 1 && number <= RTMAX ? (int)number : -EINVAL;
        char upper[17] = "";
        for (size_t i = 0; s[i]; i++)
                upper[i] = s[i] >= 'a' && s[i] <= 'z' ? (char)(s[i] - 'a' + 'A') : s[i];
        const char *name = str_skip_prefix(upper, "SIG");
        if (!name)
                name = upper;
        for (size_t i = 0; i < array_len(signal_names); i++)
                if (str_eq(name, signal_names[i].name))
                        return signal_names[i].number;
        int realtime = parse_realtime(name);
        return realtime > 0 ? realtime : -EINVAL;
}

int spec_signal_from_cri(Runtime__V1__Signal s)
{
        for (size_t i = 0; i < array_len(signal_names); i++)
                if (s == signal_names[i].cri)
                        return signal_names[i].number;
        /* From here the CRI counts without a gap: RTMIN, RTMIN+1 ... RTMIN+15, RTMAX-14 ... RTMAX.
         */
        if (s >= RUNTIME__V1__SIGNAL__SIGRTMIN && s <= RUNTIME__V1__SIGNAL__SIGRTMAX)
                return RTMIN + (int)(s - RUNTIME__V1__SIGNAL__SIGRTMIN);
        return 0;
}

int spec_stop_signal(const CriContainer *c, const ImageConfig *image)
{
        int asked = c ? spec_signal_from_cri(c->stop_signal) : 0;
        if (asked > 0)
                return asked;
        int by_image = image ? spec_signal_parse(image->stop_signal) : -EINVAL;
        return by_image > 0 ? by_image : SIGTERM;
}
