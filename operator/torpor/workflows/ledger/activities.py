"""Activities: names that workers poll for tasks."""

from __future__ import annotations

from torpor.workflows.ledger.base import NotFound
from torpor.workflows.ledger.rows import activity_of
from torpor.workflows.ledger.store import Store
from torpor.workflows.ledger.tokens import page_of, place_of
from torpor.workflows.records import Activity, Page


class Activities(Store):
    """What the API's calls on activities read and write."""

    async def put_activity(self, activity: Activity) -> Activity:
        """Create an activity; the same name again is the same activity."""
        row = await self._database.row(
            "INSERT INTO activity (arn, name, created_at) VALUES ($1, $2, $3) "
            "ON CONFLICT (arn) DO UPDATE SET name = activity.name RETURNING *",
            activity.arn,
            activity.name,
            activity.created_at,
        )
        return activity_of(row)

    async def activity(self, arn: str) -> Activity:
        """One activity; raises NotFound."""
        row = await self._database.row("SELECT * FROM activity WHERE arn = $1", arn)
        if row is None:
            raise NotFound(f"activity {arn}")
        return activity_of(row)

    async def activities(self, limit: int, token: str | None) -> Page[Activity]:
        """Activities by name."""
        place = place_of(token, str, str) or (None, None)
        rows = await self._database.rows(
            "SELECT * FROM activity WHERE $1::text IS NULL OR (name, arn) > ($1, $2) "
            "ORDER BY name, arn LIMIT $3",
            *place,
            limit + 1,
        )
        places = [(row["name"], row["arn"]) for row in rows]
        return page_of([activity_of(row) for row in rows], limit, places)

    async def delete_activity(self, arn: str) -> None:
        """Delete an activity and its tags."""
        async with self._database.transaction() as connection:
            await connection.execute("DELETE FROM activity WHERE arn = $1", arn)
            await connection.execute("DELETE FROM tag WHERE arn = $1", arn)
