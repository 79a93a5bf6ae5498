"""Cutting a network at a named module: what lies below, what above, and the layers between cut and end."""

from __future__ import annotations

import inspect

from torch import fx, nn

from photopic.errors import ModelError, did_you_mean


def layers_from(module: nn.Module, name: str) -> list[list[nn.Module]]:
    """The layers from `name` to the end of the network, lowest first; each is one or more modules.

    A layer is `name` itself, its later siblings, the later siblings of its parent, and so on. A module
    without a weight of two or more dimensions (a norm, a pool) belongs to the layer before it. Order is that
    of registration, which is that of execution in timm's networks and ours.
    Raises ModelError, listing the children, if there is no such module.
    """
    later: list[list[nn.Module]] = []
    node = module
    path = name.split(".")
    for depth, part in enumerate(path):
        children = dict(node.named_children())
        if part not in children:
            raise ModelError(_unknown(name, ".".join(path[:depth]), list(children)))
        after = list(children).index(part) + 1
        later.append(list(children.values())[after:])
        node = children[part]
    layers: list[list[nn.Module]] = [[node]]
    for sibling in (sibling for siblings in reversed(later) for sibling in siblings):
        if any(parameter.ndim > 1 for parameter in sibling.parameters()):
            layers.append([sibling])
        else:
            layers[-1].append(sibling)
    return layers


def _unknown(name: str, parent: str, children: list[str]) -> str:
    prefix = f"{parent}." if parent else ""
    full = [prefix + child for child in children]
    inside = f"Inside {parent}" if parent else "It"
    listing = f" {inside} has: {', '.join(full)}." if full else f" {parent} has no parts."
    return (
        f'the backbone has no module "{name}".{did_you_mean(name, full) if len(full) > 12 else ""}{listing}'
    )


def split_at(module: nn.Module, name: str) -> tuple[nn.Module, nn.Module]:
    """Two networks, (lower, upper), with upper(lower(x)) = module(x): `name` is the first module of upper.

    Both share the module's parameters and submodules. Raises ModelError if there is no such module, or if the
    network cannot be cut there because more than one value passes the cut.
    """
    layers_from(module, name)  # complains about an unknown name
    graph = _trace(module, name)
    nodes = list(graph.nodes)
    first = next(i for i, node in enumerate(nodes) if node.op == "call_module" and node.target == name)
    above = set(nodes[first:])
    passing = [node for node in nodes[:first] if any(user in above for user in node.users)]
    if len(passing) != 1:
        names = ", ".join(str(node) for node in passing)
        raise ModelError(f"the network cannot be cut before {name}: {len(passing)} values pass it ({names}).")
    lower, upper = fx.Graph(), fx.Graph()
    known: dict[fx.Node, fx.Node] = {}
    for node in nodes[:first]:
        known[node] = lower.node_copy(node, lambda n: known[n])
    lower.output(known[passing[0]])
    known = {passing[0]: upper.placeholder("features")}
    for node in nodes[first:]:
        known[node] = upper.node_copy(node, lambda n: known[n])
    return fx.GraphModule(module, lower), fx.GraphModule(module, upper)


def until_module(module: nn.Module, name: str) -> fx.GraphModule:
    """The network up to the output of `name`, sharing its parameters and submodules under their names.

    Raises ModelError if there is no such module, or if the forward pass does not call it.
    """
    layers_from(module, name)  # complains about an unknown name
    lower = fx.Graph()
    known: dict[fx.Node, fx.Node] = {}
    for node in _trace(module, name).nodes:
        known[node] = lower.node_copy(node, lambda n: known[n])
        if node.op == "call_module" and node.target == name:
            break
    lower.output(known[node])
    return fx.GraphModule(module, lower)


def _trace(module: nn.Module, name: str) -> fx.Graph:
    ancestors = {name[:i] for i, letter in enumerate(name) if letter == "."}

    class Tracer(fx.Tracer):
        def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
            return module_qualified_name not in ancestors  # all else stays whole, whatever it does inside

    given = inspect.signature(module.forward).parameters.values()
    optional = {p.name: p.default for p in given if p.default is not p.empty}  # fixed at their defaults
    try:
        graph = Tracer().trace(module, concrete_args=optional)
    except (fx.proxy.TraceError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"the network cannot be cut before {name}: {error}.") from error
    if not any(node.op == "call_module" and node.target == name for node in graph.nodes):
        raise ModelError(f"the network cannot be cut before {name}: its forward pass does not call it.")
    return graph
