# Which kernel table runs: the best that this CPU and operating system support, or the one NNCORE_ISA names.

import os

from nncore.errors import did_you_mean, unknown_name

cdef extern from "cpu.h" nogil:
    enum:
        NN_ISAS
    ctypedef struct nn_isa:
        const nn_table *table
        int supported
    int nn_list_isas(nn_isa *isas)


cdef extern from *:
    """
    static const char *const nn_op_names[] = {
    #define OP(name) #name,
    #include "ops.def"
    #undef OP
    };
    """
    const char *const nn_op_names[]

# The place in every table of an op's kernel; that of "relu" is op_relu.
OP_INDEX = {nn_op_names[_i].decode().removeprefix("op_"): _i for _i in range(NN_OPS)}


cdef nn_op find_op(str name) except *:
    """The place of an op's kernel in every table."""
    if name not in OP_INDEX:
        raise unknown_name("kernel", name, OP_INDEX)
    return <nn_op><int>OP_INDEX[name]


cdef const nn_table *find_table(str name) except NULL:
    """The table called ``name``, or the best one for None; ImportError where this machine cannot run it."""
    cdef nn_isa isas[NN_ISAS]
    cdef int i, count = nn_list_isas(isas)
    compiled = [isas[i].table.isa.decode() for i in range(count)]
    supported = [compiled[i] for i in range(count) if isas[i].supported]
    if name is None:
        name = supported[0]
    if name not in compiled:
        raise ImportError(
            f"The instruction set {name!r} is not among the compiled ones.{did_you_mean(name, compiled)} "
            f"Compiled: {', '.join(compiled)}. Supported by this machine: {', '.join(supported)}."
        )
    if name not in supported:
        raise ImportError(
            f"The instruction set {name!r} is compiled, but this CPU or operating system does not support it. "
            f"Supported: {', '.join(supported)}. Set NNCORE_ISA to one of them, or unset it."
        )
    return isas[compiled.index(name)].table


# The table of this process, set here once.
cdef const nn_table *chosen_table = find_table(os.environ.get("NNCORE_ISA") or None)


def config():
    """What is compiled, what this machine supports (best first), what was chosen, and the reals in its vectors."""
    cdef nn_isa isas[NN_ISAS]
    cdef int i, count = nn_list_isas(isas)
    return {
        "compiled": [isas[i].table.isa.decode() for i in range(count)],
        "supported": [isas[i].table.isa.decode() for i in range(count) if isas[i].supported],
        "chosen": chosen_table.isa.decode(),
        "lanes": {isas[i].table.isa.decode(): isas[i].table.lanes for i in range(count)},
    }


def check_isa(name):
    """Raise ImportError where the table called ``name`` cannot run here."""
    find_table(name)
