"""What an ingestion and a publication are made of."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from arenalab.api.common.v1 import answer_pb2
from arenalab.api.curator.v1 import curator_service_pb2 as pb
from arenalab.curator import requests
from arenalab.curator.catalogue import Catalogue
from arenalab.curator.embedding import Embedding
from arenalab.curator.formats import open_reader
from arenalab.curator.ingestion import Ingestion
from arenalab.curator.jobs import Jobs
from arenalab.curator.keys import load_key
from arenalab.curator.peers import Peers
from arenalab.curator.publication import Publication
from arenalab.dataset import DatasetStore, Settings


class Workshop:
    """Opens jobs; the caller holds the dataset's lock while one is open, and closes it."""

    def __init__(
        self,
        jobs: Jobs,
        catalogue: Catalogue,
        store: DatasetStore,
        peers: Peers,
        *,
        key_path: Path,
        patience_s: float,
        now_ns: Callable[[], int],
        random: Callable[[int], bytes],
    ) -> None:
        self.jobs = jobs
        self.catalogue = catalogue
        self._store = store
        self._peers = peers
        self._key_path = key_path
        self._patience_s = patience_s
        self._now_ns = now_ns
        self._random = random

    def ingestion(self, tenant: str, dataset: str, header: pb.IngestHeader) -> Ingestion:
        """Opens the ingestion of one file.

        Raises:
            DataLossError: CORRUPT_DATASET; the working set is damaged.
        """
        name = requests.format_of(header)
        # All that can be wrong with the header comes before the first file is opened.
        reader = open_reader(name, requests.origin_of(header, self._now_ns()))
        working_set = self.catalogue.create(tenant, dataset)
        rejects = self.catalogue.reject_file(tenant, dataset, self._now(), self._random)
        return Ingestion(working_set, rejects, name, reader, replace=header.replace)

    def publication(
        self,
        tenant: str,
        dataset: str,
        settings: Settings,
        weighting: answer_pb2.ContextWeighting.ValueType = answer_pb2.CONTEXT_WEIGHTING_UNSPECIFIED,
        *,
        force: bool = False,
    ) -> Publication:
        """Opens the publication of a working set.

        Raises:
            PreconditionError: MISSING_KEY.
            NotFoundError: UNKNOWN_DATASET; nothing was ever ingested.
            DataLossError: CORRUPT_DATASET; the working set is damaged.
        """
        key = load_key(self._key_path)
        working_set = self.catalogue.open(tenant, dataset)
        return Publication(
            tenant,
            dataset,
            settings,
            weighting=weighting,
            force=force,
            working_set=working_set,
            store=self._store,
            peers=self._peers,
            embedding=Embedding(self._peers.embed, working_set, self._patience_s),
            key=key,
            now=self._now,
        )

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._now_ns() / 1e9, UTC)
