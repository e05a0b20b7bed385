import itertools

import pytest

from labkit.widgets.layout import Member, Rect, arrange, curve, outside_box, point, shorten


def members(namespaces: int, pods: int, outside: int = 0) -> list[Member]:
    return [
        Member(f"ns{n}/pod-{i}", f"ns{n}", (f"pod-{i}-7d9f8b6c5", "app=web"), chips=i % 3)
        for n in range(namespaces)
        for i in range(pods)
    ] + [Member(f"203.0.113.{i}", None, (f"203.0.113.{i}",)) for i in range(outside)]


def overlap(a: Rect, b: Rect) -> bool:
    return abs(a.x - b.x) < (a.w + b.w) / 2 and abs(a.y - b.y) < (a.h + b.h) / 2


SIZES = [(1, 1, 0), (1, 9, 1), (3, 3, 0), (3, 3, 2), (5, 2, 0), (6, 10, 1), (2, 30, 0), (12, 5, 3)]


@pytest.mark.parametrize("size", SIZES)
def test_no_two_nodes_and_no_two_boxes_overlap(size):
    layout = arrange(members(*size))
    for group in (layout.nodes, layout.boxes):
        for (_, a), (_, b) in itertools.combinations(group.items(), 2):
            assert not overlap(a, b)


@pytest.mark.parametrize("size", SIZES)
def test_every_node_stands_inside_its_namespaces_box_and_every_box_inside_the_picture(size):
    everyone = members(*size)
    layout = arrange(everyone)
    for member in everyone:
        node, box = layout.nodes[member.id], layout.boxes[member.group or outside_box()]
        assert abs(node.x - box.x) <= (box.w - node.w) / 2
        assert abs(node.y - box.y) <= (box.h - node.h) / 2
    for box in layout.boxes.values():
        assert box.w / 2 <= box.x <= layout.width - box.w / 2
        assert box.h / 2 <= box.y <= layout.height - box.h / 2


def test_the_same_cluster_is_always_drawn_the_same_way():
    assert arrange(members(4, 6, 1)) == arrange(members(4, 6, 1))


def test_sixty_pods_fit_a_page_and_keep_room_for_their_names():
    layout = arrange(members(6, 10))
    assert layout.compact
    assert layout.width <= 1250
    assert all(rect.w >= 7.5 * len("pod-0-7d9f8b6c5") for rect in layout.nodes.values())


def test_there_and_back_bend_to_different_sides():
    a, b = Rect(0, 0, 100, 40), Rect(400, 0, 100, 40)
    there, back = point(curve(a, b, 0.13), 0.5), point(curve(b, a, 0.13), 0.5)
    assert there[1] > 15
    assert back[1] < -15


def test_a_curve_begins_and_ends_at_the_borders_of_its_nodes():
    a, b = Rect(0, 0, 100, 40), Rect(400, 200, 100, 40)
    x1, y1, _, _, x2, y2 = curve(a, b, 0.13)
    assert max(abs(x1) / 50, abs(y1) / 20) == pytest.approx(1, abs=0.06)
    assert max(abs(x2 - 400) / 50, abs(y2 - 200) / 20) == pytest.approx(1.1, abs=0.3)


def test_a_mark_is_not_put_under_a_node_where_there_is_a_free_place():
    layout = arrange(members(3, 3))
    covered = 0
    for a, b in itertools.permutations(layout.nodes, 2):
        path = layout.route(a, b)
        x, y, _, _ = point(path, layout.mark_at(path))
        covered += any(abs(x - r.x) < r.w / 2 and abs(y - r.y) < r.h / 2 for r in layout.nodes.values())
    assert covered == 0


def test_an_empty_cluster_still_has_a_picture():
    assert arrange([]).height > 0
    assert list(arrange([], ["empty"]).boxes) == ["empty"]


def test_a_long_name_loses_its_middle_and_keeps_the_end_that_tells_replicas_apart():
    assert shorten("frontend-web-7d9f8b6c5-x7k2p", 16) == "frontend-w…-x7k2p"[:10] + "…" + "x7k2p"
    assert len(shorten("frontend-web-7d9f8b6c5-x7k2p", 16)) == 16
    assert shorten("web", 16) == "web"
