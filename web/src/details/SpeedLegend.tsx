// What the colours of a day's trail mean.

import { SPEED_STEPS, SPEED_UNIT, speedFigure } from '../format';
import { useScheme } from '../scheme';
import { strings } from '../strings';
import { PALETTES } from '../theme';

export function SpeedLegend() {
  const { speeds } = PALETTES[useScheme()];
  return (
    <figure className="legend numbers" aria-label={strings.history.speedLegend}>
      {speeds.map((colour, step) => (
        <span key={colour}>
          <i style={{ background: colour }} />
          {label(step)}
        </span>
      ))}
      <figcaption className="quiet">{SPEED_UNIT}</figcaption>
    </figure>
  );
}

function label(step: number): string {
  const from = SPEED_STEPS[step - 1];
  const to = SPEED_STEPS[step];
  if (from === undefined) return `< ${speedFigure(to!)}`;
  return to === undefined ? `≥ ${speedFigure(from)}` : `${speedFigure(from)}–${speedFigure(to)}`;
}
