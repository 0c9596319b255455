from tune_flows.core.space import ParamSpace, grid_search, sample_from, uniform
from tune_flows.search import GridSearch, OptunaSearch, RandomSearch, SearchAlg
from tune_flows.testing.search_alg import SearchAlgConformance
from tune_flows.testing.spaces import small_space


def doubled(config):
    return 2 * config["x"]


class TestRandom(SearchAlgConformance):
    def make(self) -> SearchAlg:
        return RandomSearch()


class TestRandomOnAGrid(SearchAlgConformance):
    def make(self) -> SearchAlg:
        return RandomSearch(seed=4, points_to_evaluate=[{"x": 0.5}, {"x": 0.25, "model": {"g": 2}}])

    def space(self) -> ParamSpace:
        return ParamSpace.parse(
            {"x": uniform(0, 1), "y": sample_from(doubled), "model": {"g": grid_search([1, 2, 3])}}
        )


class TestGrid(SearchAlgConformance):
    def make(self) -> SearchAlg:
        return GridSearch(points_per_domain=2)

    def space(self) -> ParamSpace:
        return small_space()


class TestShuffledGrid(TestGrid):
    def make(self) -> SearchAlg:
        return GridSearch(points_per_domain=3, shuffle_seed=1)


class TestOptuna(SearchAlgConformance):
    def make(self) -> SearchAlg:
        return OptunaSearch(n_startup_trials=5, points_to_evaluate=[{"lr": 0.01, "noise": 1.25}])


class TestOptunaOneByOne(SearchAlgConformance):
    def make(self) -> SearchAlg:
        return OptunaSearch(seed=1, n_startup_trials=5, multivariate=False, constant_liar=False)


class TestOptunaAtRandom(SearchAlgConformance):
    def make(self) -> SearchAlg:
        return OptunaSearch(sampler="random")
