"""C24, C28: what accuracy costs in ImageNet's networks, and LeNet-5 and AlexNet layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from photopic.lab.course.context import Context
from photopic.lab.course.experiment import Outcome, Row
from photopic.lab.course.zoo import PUBLISHED, WINNERS, ZOO, ZooEntry
from photopic.models.overview import summarise_named
from photopic.models.summary import LayerRow, ModelSummary
from photopic.report.figures import Points, bar_with_intervals, scatter_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUICK_ZOO = ("VGG16", "ResNet50", "MobileNetV2")
ALEXNET = {
    "conv 1": "conv1",
    "pool 1": "max_pool1",
    "conv 2": "conv2",
    "pool 2": "max_pool2",
    "conv 3": "conv3",
    "conv 4": "conv4",
    "conv 5": "conv5",
    "pool 5": "max_pool3",
    "FC 6": "dense1",
    "FC 7": "dense2",
    "FC 8": "output",
}
"""The deck's names and ours."""


# ---- C24 ---------------------------------------------------------------------------------------------------


def c24(context: Context) -> Outcome:
    """Winners by year, then top-1 against operations and parameters of the zoo's networks."""
    chosen = [entry for entry in ZOO if not context.quick or entry.name in QUICK_ZOO]
    tables = {entry: summarise_named(entry.counterpart) for entry in chosen if entry.counterpart is not None}
    rows = [context.row(name, None, note=note) for name, note in PUBLISHED.items()]
    rows += [_count_row(context, entry, tables.get(entry)) for entry in chosen]
    same = sum(row.measured == row.reported for row in rows[len(PUBLISHED) :])
    winners = bar_with_intervals(
        [f"{winner.year} {winner.name}" for winner in WINNERS],
        [100 * winner.top_5_error for winner in WINNERS],
        title="ImageNet: the winners' top-5 error",
        value_label="per cent",
        decimals=1,
    )
    first, resnet = WINNERS[1], next(winner for winner in WINNERS if winner.name == "ResNet")
    fall = first.top_5_error / resnet.top_5_error
    best = max(tables, key=lambda entry: entry.top_1)
    vgg, mobile = (_find(tables, name) for name in ("VGG16", "MobileNetV2"))
    return Outcome(
        rows=tuple(rows),
        figures=(
            context.draw("winners.png", "Top-5 error of the winners of each year", winners),
            context.draw("cost.png", "Top-1 accuracy against operations and parameters", _cost_chart(tables)),
        ),
        sentences=(
            f"From {first.year} to {resnet.year} the winners' top-5 error fell {fall:.1f}-fold, "
            f"from {first.top_5_error:.1%} to {resnet.top_5_error:.2%}.",
            f"{same} of {len(tables)} networks have exactly the reported number of parameters; the most "
            f"accurate, {best.name}, takes {tables[best].flops / 1e9:.1f} billion operations for an image.",
            f"VGG16 takes {tables[vgg].flops / tables[mobile].flops:.0f} times MobileNetV2's operations and "
            f"{vgg.parameters / mobile.parameters:.0f} times its parameters, for a top-1 of {vgg.top_1:.3f} "
            f"against {mobile.top_1:.3f}.",
        ),
        notes=(
            "Megabytes, accuracies and depth are the table's; operations and parameters are counted here, "
            "the moving averages of batch norms as parameters, as in the table. The table's ResNets have "
            "biases in their convolutions, its Inceptions no γ in their batch norms: so their counts differ.",
            *context.shortened(f"{len(chosen)} of {len(ZOO)} networks."),
        ),
    )


def _count_row(context: Context, entry: ZooEntry, table: ModelSummary | None) -> Row:
    """A line of the zoo: what the deck's table says, and the parameters counted here, if timm has it."""
    depth = "" if entry.depth is None else f", depth {entry.depth}"
    told = f"{entry.megabytes} MB, top-1 {entry.top_1:.3f}, top-5 {entry.top_5:.3f}{depth}"
    name = f"parameters, {entry.name}"
    if table is None:
        return context.row(name, None, note=f"{told}; not counted, for timm has no such network")
    counted = table.parameters + table.statistics
    differs = (
        "" if counted == entry.parameters else f" ({(counted - entry.parameters) / entry.parameters:+.2%})"
    )
    note = f"{told}; counted of {entry.counterpart}{differs}, {table.flops / 1e9:.2f} billion operations"
    return context.row(name, counted, note=note)


def _find(tables: dict[ZooEntry, ModelSummary], name: str) -> ZooEntry:
    return next(entry for entry in tables if entry.name == name)


def _cost_chart(tables: dict[ZooEntry, ModelSummary]) -> Figure:
    top_1 = [entry.top_1 for entry in tables]
    names = [entry.name for entry in tables]
    operations = Points("", [table.flops / 1e9 for table in tables.values()], top_1, names)
    parameters = Points("", [entry.parameters / 1e6 for entry in tables], top_1, names)
    return scatter_panels(
        [
            (
                "Accuracy and operations",
                [operations],
                "billions of operations for an image",
                "top-1 accuracy",
            ),
            ("Accuracy and size", [parameters], "millions of parameters", "top-1 accuracy"),
        ],
        columns=1,
        log_x=True,
    )


# ---- C28 ---------------------------------------------------------------------------------------------------


def c28(context: Context) -> Outcome:
    """The layer tables, their shapes beside the deck's."""
    alexnet, lenet = summarise_named("alexnet", family="classic"), summarise_named("lenet5", family="classic")
    layers = {layer.name: layer for layer in alexnet.layers}
    rows = [context.row("AlexNet, input", _sides(alexnet.input_shape))]
    rows += [_layer_row(context, f"AlexNet, {told}", layers[name]) for told, name in ALEXNET.items()]
    same = sum(row.measured == row.reported for row in rows)
    compared = len(rows)
    rows.append(context.row("AlexNet, parameters", alexnet.parameters))
    rows += [_layer_row(context, f"LeNet-5, {layer.name}", layer) for layer in lenet.layers]
    rows.append(context.row("LeNet-5, parameters", lenet.parameters))
    weighted = [layer for layer in alexnet.layers if layer.parameters]
    dense = [layer for layer in weighted if layer.type == "Dense"]
    share = sum(layer.parameters for layer in dense) / alexnet.parameters
    work = 1 - sum(layer.flops for layer in dense) / sum(layer.flops for layer in weighted)
    return Outcome(
        rows=tuple(rows),
        figures=(
            context.draw(
                "parameters.png", "Where AlexNet's parameters are", _share_chart(weighted, "parameters")
            ),
            context.draw("operations.png", "Where AlexNet's operations are", _share_chart(weighted, "flops")),
        ),
        sentences=(
            f"{same} of the deck's {compared} shapes of AlexNet come out, each by (N + 2P − F)/S + 1.",
            f"Its fully connected layers hold {share:.0%} of {alexnet.parameters:,} parameters, its "
            f"convolutions do {work:.0%} of the operations; LeNet-5 has {lenet.parameters:,} parameters.",
        ),
    )


def _layer_row(context: Context, name: str, layer: LayerRow) -> Row:
    field = (
        ""
        if layer.receptive_field is None
        else f", receptive field {layer.receptive_field[0]}×{layer.receptive_field[1]}"
    )
    note = f"{layer.parameters:,} parameters{field}" if layer.parameters else field.removeprefix(", ")
    return context.row(name, _sides(layer.output_shape), note=note)


def _sides(shape: tuple[int, ...]) -> str:
    """Height × width × channels, as the deck writes it; a number alone once flat."""
    return f"{shape[1]}×{shape[2]}×{shape[0]}" if len(shape) == 3 else str(shape[0])


def _share_chart(layers: list[LayerRow], what: str) -> Figure:
    values = [getattr(layer, what) / 1e6 for layer in layers]
    told = {"parameters": "millions of parameters", "flops": "millions of operations for an image"}[what]
    return bar_with_intervals(
        [layer.name for layer in layers], values, title=f"AlexNet: {told}", value_label=told, decimals=1
    )
